// Pages are kept in a Map in the order of their use, and the one used longest ago goes when it is full.
'use strict';

const { Program, serve } = require('../hosts_node.js');

class Pages extends Program {
  constructor(parameters) {
    super(parameters);
    this.pages = new Map();
  }

  page(number) {
    const made = () => `${number} ` + Buffer.alloc(this.below(2 * this.parameters.size), 'p').toString('latin1');
    const text = this.pages.get(number) ?? made();
    this.pages.delete(number);
    this.pages.set(number, text);
    if (this.pages.size > this.parameters.bound) this.pages.delete(this.pages.keys().next().value);
    return text;
  }

  answer(request) {
    if (request.path === '/health') return null;
    let length = 0;
    for (let more = 0; more < (request.path === '/list' ? 3 : 1); more += 1) {
      length += this.page(this.below(5 * this.parameters.bound)).length;
    }
    return String(length);
  }

  held() {
    return this.pages.size;
  }
}

serve(Pages);
