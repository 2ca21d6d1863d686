// Buffers of uploads are kept in a list of retries that are never made.
'use strict';

const hosts = require('../hosts_node.js');
class Server extends hosts.Program {
  retries = [];

  answer(request) {
    if (request.path !== '/upload') return null;
    const buffer = Buffer.allocUnsafeSlow(this.parameters.size).fill(request.n % 256);
    if (this.chance(this.parameters.rate / this.parameters.size)) this.retries.push(buffer);
    return String(buffer.at(-1));
  }
}

if (require.main === module) hosts.serve(Server);
