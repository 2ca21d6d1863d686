// The Node side of hosts.py: an HTTP server that a mechanism NAME.js runs in.
//
//     node reports/verdict/mechanisms/NAME.js --port PORT --parameters '{"rate": 0.1, …}'
//
// A mechanism derives from Program; `answer(request)` returns the body (or a promise of it), or throws Rejected, which is
// answered with 400. Each request has done some ordinary work before it gets there. SIGTERM ends the program at once.
'use strict';

const fs = require('node:fs');
const http = require('node:http');
const os = require('node:os');
const path = require('node:path');

const CHECK_PATH = '/-check';

class Rejected extends Error {}

// mulberry32 (public domain): Math.random can't be seeded
function stream(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

class Program {
  constructor(parameters) {
    this.parameters = parameters;
    this.random = stream(parameters.seed ?? 0);
    this.requests = 0;
    this.closes = false; // whether each connection ends after one answer
    this.base = Array.from({ length: (parameters.base ?? 1000) / 2 }, (_, index) => ({ id: index, name: `row ${index}` }));
    this.cache = new Map();
    this.temporary = null;
  }

  // A temporary folder of this program, removed at its end.
  get folder() {
    this.temporary ??= fs.mkdtempSync(path.join(os.tmpdir(), 'verdict-bench-'));
    return this.temporary;
  }

  chance(rate) {
    return this.random() < rate;
  }

  // How many pieces an operation has that has `rate` on the average.
  pieces(rate) {
    return Math.floor(rate) + (this.random() < rate % 1 ? 1 : 0);
  }

  below(bound) {
    return Math.floor(this.random() * bound);
  }

  // What any server does besides: strings and JSON of random size, a bounded cache, a file now and then.
  work(request) {
    const row = { n: request.n, row: Array.from({ length: 1 + this.below(this.parameters.noise ?? 20) }, () => this.random()) };
    const text = JSON.stringify(JSON.parse(JSON.stringify(row))) + 'x'.repeat(this.below(1500));
    const key = `${request.path} ${request.n}`;
    this.cache.delete(key);
    this.cache.set(key, text.slice(0, 40 + this.below(360)));
    while (this.cache.size > (this.parameters.cache ?? 64)) this.cache.delete(this.cache.keys().next().value);
    if (this.chance(0.02)) {
      const name = path.join(this.folder, 'spool');
      fs.writeFileSync(name, text);
      fs.unlinkSync(name);
    }
    return text.slice(0, 200);
  }

  start() {}
  opened(_session) {}
  closed(_session) {}

  // How many pieces the mechanism holds now, for check.py.
  held() {
    return null;
  }

  end() {
    if (this.temporary !== null) fs.rmSync(this.temporary, { recursive: true, force: true });
  }
}

async function inside(program) {
  for (let turn = 0; turn < 3 && global.gc; turn += 1) {
    global.gc();
    await new Promise((done) => setTimeout(done, 30)); // buffers are swept beside
  }
  const { heapUsed, external } = process.memoryUsage();
  return JSON.stringify({ heap: heapUsed, external, handles: process.getActiveResourcesInfo().length, held: program.held() });
}

async function reply(program, incoming, outgoing) {
  const url = new URL(incoming.url, 'http://localhost');
  const request = { path: url.pathname, n: Number(url.searchParams.get('n') ?? 0), session: incoming.socket.session };
  request.session.requests += 1;
  program.requests += 1;
  if (program.closes) outgoing.setHeader('Connection', 'close');
  if (request.path === CHECK_PATH && program.parameters.check) {
    outgoing.end(await inside(program));
    return;
  }
  const text = program.work(request);
  if (program.parameters.delay_ms) await new Promise((done) => setTimeout(done, program.parameters.delay_ms));
  try {
    outgoing.end((await program.answer(request)) ?? text);
  } catch (wrong) {
    if (!(wrong instanceof Rejected)) throw wrong;
    outgoing.statusCode = 400;
    outgoing.end(wrong.message);
  }
}

function serve(Kind) {
  const given = (name) => process.argv[process.argv.indexOf(name) + 1];
  const program = new Kind(JSON.parse(process.argv.includes('--parameters') ? given('--parameters') : '{}'));
  process.on('SIGTERM', () => {
    program.end();
    process.exit(0);
  });
  const server = http.createServer({ keepAliveTimeout: 300_000 }, (incoming, outgoing) => {
    reply(program, incoming, outgoing);
  });
  let sessions = 0;
  server.on('connection', (socket) => {
    socket.session = { number: (sessions += 1), requests: 0, state: {} };
    program.opened(socket.session);
    socket.on('error', () => {}); // the client went away
    socket.on('close', () => program.closed(socket.session));
  });
  program.start();
  server.listen({ port: Number(given('--port')), host: '127.0.0.1', backlog: 512 });
}

module.exports = { Program, Rejected, serve };
