// Records gather in an array, which is packed and emptied when a number of them is there.
'use strict';

const zlib = require('node:zlib');

const { Program, serve } = require('../hosts_node.js');

class Tracker extends Program {
  constructor(parameters) {
    super(parameters);
    this.batch = [];
    this.packed = 0;
  }

  answer(request) {
    if (request.path !== '/track') return null;
    const text = 't'.repeat(this.below(2 * this.parameters.size)) + this.random();
    this.batch.push({ user: request.n, at: this.requests, text });
    if (this.batch.length >= this.parameters.bound) {
      this.packed = zlib.deflateSync(JSON.stringify(this.batch), { level: 1 }).length;
      this.batch = [];
    }
    return String(this.packed);
  }

  held() {
    return this.batch.length;
  }
}

serve(Tracker);
