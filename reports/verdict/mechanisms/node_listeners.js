// Each session listens to an emitter, and one that is cut off never stops.
'use strict';

const hosts = require('../hosts_node.js');
const { EventEmitter } = require('node:events');

const LISTENER = 400; // bytes of a listener beside its buffer, about

class Server extends hosts.Program {
  bus = new EventEmitter().setMaxListeners(0);
  closes = true;

  // A session is one connection. Those that are cut off leave their listeners, several when the rate is high.
  answer(request) {
    if (request.path !== '/live') return null;
    for (let left = this.pieces(this.parameters.rate / (this.parameters.size + LISTENER)); left > 0; left -= 1) {
      const buffer = Array.from({ length: this.parameters.size / 8 }, () => this.random());
      this.bus.on('news', (number) => (buffer[0] = number));
    }
    return `session ${request.session.number}`;
  }

  held() {
    return this.bus.listenerCount('news');
  }
}

if (require.main === module) hosts.serve(Server);
