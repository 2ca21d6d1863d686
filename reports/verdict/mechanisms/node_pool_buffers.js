// Buffers are taken from a pool, which grows with what is sent at once and is halved by a timer when idle.
'use strict';

const { Program, serve } = require('../hosts_node.js');

class Sender extends Program {
  constructor(parameters) {
    super(parameters);
    this.free = [];
  }

  start() {
    setInterval(() => this.free.splice(Math.floor(this.free.length / 2)), 1000 * this.parameters.seconds);
  }

  async send(number) {
    const buffer = this.free.pop() ?? Buffer.allocUnsafeSlow(this.parameters.size);
    buffer.writeUInt32BE(number);
    await new Promise(setImmediate);
    this.free.push(buffer);
    return buffer.readUInt32BE();
  }

  async answer(request) {
    if (request.path !== '/send') return null;
    const parts = Math.min(Math.floor((1 - this.random()) ** (-1 / 1.1)), this.parameters.bound); // Pareto: seldom many
    const sent = await Promise.all(Array.from({ length: parts }, (_, more) => this.send(request.n + more)));
    return String(sent.length);
  }

  held() {
    return this.free.length;
  }
}

serve(Sender);
