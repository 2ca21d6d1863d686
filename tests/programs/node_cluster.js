// A primary and two workers that share a port; prints the port once both listen.
const cluster = require('node:cluster');

if (cluster.isPrimary) {
  let listening = 0;
  cluster.on('listening', (worker, address) => { if (++listening === 2) console.log(address.port); });
  cluster.fork();
  cluster.fork();
  process.stdin.on('end', () => process.exit());
  process.stdin.resume();
} else {
  require('node:http').createServer((request, answer) => answer.end('x')).listen(0, '127.0.0.1');
}
