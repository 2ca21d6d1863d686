// Each order has a timer that reminds of it later, and ends then.
'use strict';

const { Program, serve } = require('../hosts_node.js');

class Orders extends Program {
  constructor(parameters) {
    super(parameters);
    this.waiting = new Set();
  }

  answer(request) {
    if (request.path !== '/order' || !this.chance(this.parameters.share)) return null;
    const order = { n: request.n, number: this.requests };
    this.waiting.add(order);
    setTimeout(() => this.waiting.delete(order), 1000 * this.parameters.seconds * (0.5 + this.random() / 2));
    return 'ordered';
  }

  held() {
    return this.waiting.size;
  }
}

serve(Orders);
