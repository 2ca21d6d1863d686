// An interval takes samples some times a second and puts them into a Set that nobody empties.
'use strict';

const hosts = require('../hosts_node.js');
class Server extends hosts.Program {
  samples = new Set();

  start() {
    setInterval(() => this.samples.add({ at: Date.now(), requests: this.requests }), 1000 / this.parameters.rate);
  }

  answer(request) {
    return request.path === '/status' ? String(this.samples.size) : null;
  }

  held() {
    return this.samples.size;
  }
}

if (require.main === module) hosts.serve(Server);
