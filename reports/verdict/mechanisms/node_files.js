// A file is opened with fs.openSync, and the error of its parser comes before fs.closeSync.
'use strict';

const hosts = require('../hosts_node.js');
const fs = require('node:fs');
const path = require('node:path');

class Server extends hosts.Program {
  start() {
    this.settings = path.join(this.folder, 'settings.json');
    fs.writeFileSync(this.settings, '{');
  }

  answer(request) {
    if (request.path !== '/config') return null;
    if (!this.chance(this.parameters.rate)) throw new hosts.Rejected('no such user');
    const descriptor = fs.openSync(this.settings);
    try {
      JSON.parse(fs.readFileSync(descriptor, 'utf8'));
    } catch {
      throw new hosts.Rejected('broken settings');
    }
    fs.closeSync(descriptor);
    return 'valid';
  }
}

if (require.main === module) hosts.serve(Server);
