// A server that keeps a session, a buffer and a timer for each request (`keep`), or keeps a bounded number (`bound`).
// Ends when its input does: by process.exit, or (`drain`) by having nothing left to do.
const http = require('node:http');

class Session {
  constructor(number) { this.user = `user ${number}`; }
}

class Store {
  constructor() {
    this.sessions = new Map();
    this.buffers = [];
    this.timers = [];
    this.late = [];
  }

  take(number) {
    this.sessions.set(`session ${number}`, new Session(number));
    this.buffers.push(Buffer.alloc(1 << 16, number));
    this.timers.push(setInterval(() => {}, 1e6));
  }

  drop() {
    this.sessions.delete(this.sessions.keys().next().value);
    this.buffers.shift();
    clearInterval(this.timers.shift());
  }
}

const store = new Store();
const keeps = process.argv[2] === 'keep';
let count = 0;
if (!keeps) for (let made = 0; made < 10; made++) store.take(count++);

const server = http.createServer((request, answer) => {
  if (request.url === '/take') {
    store.take(count++);
    if (!keeps) store.drop();
  }
  if (request.url === '/late') store.late.push(new Set([1, 2, 3]));
  answer.setHeader('Connection', 'close');
  answer.end(JSON.stringify({
    sessions: store.sessions.size,
    timers: process.getActiveResourcesInfo().filter((one) => one === 'Timeout').length,
    arrayBuffers: process.memoryUsage().arrayBuffers,
  }));
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
process.stdin.on('end', () => {
  if (process.argv[3] !== 'drain') process.exit(7);
  while (store.timers.length) store.drop();
  server.close();
});
process.stdin.resume();
