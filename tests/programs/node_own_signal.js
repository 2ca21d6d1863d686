// Handles SIGUSR1 itself; each line of input is answered with how often.
let signals = 0;
process.on('SIGUSR1', () => { signals += 1; });
process.stdin.on('data', () => console.log(signals));
console.log('ready');
