// A Map of sessions gets an entry at each login, and few clients log out.
'use strict';

const hosts = require('../hosts_node.js');
class Server extends hosts.Program {
  sessions = new Map();

  answer(request) {
    if (request.path !== '/login') return null;
    const token = this.random().toString(36).slice(2);
    this.sessions.set(token, { user: request.n, since: this.requests });
    if (!this.chance(this.parameters.rate)) this.sessions.delete(token);
    return token;
  }

  held() {
    return this.sessions.size;
  }
}

if (require.main === module) hosts.serve(Server);
