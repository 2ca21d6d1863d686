// Each session starts an interval for keep-alives, and one that is cut off does not clear it.
'use strict';

const hosts = require('../hosts_node.js');
const HOUR = 3_600_000;

class Server extends hosts.Program {
  alive = 0;
  closes = true;

  answer(request) {
    if (request.path !== '/open') return null;
    const timer = setInterval(() => (this.alive += 1), HOUR);
    if (!this.chance(this.parameters.rate)) request.session.state.timer = timer;
    return 'open';
  }

  closed(session) {
    clearInterval(session.state.timer);
  }
}

if (require.main === module) hosts.serve(Server);
