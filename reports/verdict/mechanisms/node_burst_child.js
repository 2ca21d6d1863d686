// A job is done by a child process that is waited for.
'use strict';

const childProcess = require('node:child_process');

const { Program, serve } = require('../hosts_node.js');

class Converter extends Program {
  constructor(parameters) {
    super(parameters);
    this.running = 0;
  }

  convert(number) {
    this.running += 1;
    return new Promise((done, fail) => {
      const child = childProcess.execFile('cat', { env: { PATH: '/usr/bin:/bin' } }, (wrong, out) => {
        this.running -= 1;
        if (wrong) fail(wrong);
        else done(out);
      });
      child.stdin.end(String(number));
    });
  }

  answer(request) {
    if (request.path !== '/convert' || !this.chance(this.parameters.share)) return null;
    return this.convert(request.n);
  }

  held() {
    return this.running;
  }
}

serve(Converter);
