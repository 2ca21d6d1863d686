// The last events are kept in an array that is shifted when it is longer than its limit.
'use strict';

const { Program, serve } = require('../hosts_node.js');

class Events extends Program {
  constructor(parameters) {
    super(parameters);
    this.limit = parameters.bound;
    this.events = [];
  }

  answer(request) {
    if (request.path === '/recent') return JSON.stringify(this.events.slice(-3));
    for (let more = this.pieces(this.parameters.entries); more > 0; more -= 1) {
      this.events.push({ n: request.n, at: this.requests, text: `event ${this.random()}` });
      if (this.events.length > this.limit) this.events.shift();
    }
    return null;
  }

  held() {
    return this.events.length;
  }
}

serve(Events);
