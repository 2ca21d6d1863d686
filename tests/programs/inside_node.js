// An HTTP server that keeps an entry of a Map for each request to /work (`grows`), or takes each out again (`healthy`).
//     node inside_node.js PORT MODE
const http = require('node:http');

class Store {
  constructor() { this.sessions = new Map(); }

  use(number) {
    this.sessions.set(`session ${number}`, { user: `user ${number}` });
    if (process.argv[3] === 'healthy') this.sessions.delete(`session ${number}`);
  }
}

if (!['grows', 'healthy'].includes(process.argv[3])) throw new Error(`no such mode: ${process.argv[3]}`);
const told = ['LEAKCHECK_AGENT', 'PYTHONPATH', 'NODE_OPTIONS'].filter((name) => name in process.env);
console.log(JSON.stringify(Object.fromEntries(told.map((name) => [name, process.env[name]]))));
const store = new Store();
let count = 0;
http.createServer((request, answer) => {
  if (request.url.startsWith('/work')) store.use(count++);
  answer.end('ok');
}).listen(Number(process.argv[2]), '127.0.0.1');
