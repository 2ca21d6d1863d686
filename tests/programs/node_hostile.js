// Holds collections that act when they are looked at carelessly; each line of input is answered with how often they did.
let touched = 0;
const touch = () => { touched += 1; throw new Error('touched'); };

class Odd extends Map {
  static name() { return 'a function in place of a name'; }

  get size() { return touch(); }

  values() { return touch(); }
}
Object.defineProperty(Odd.prototype, 'constructor', { get: touch });
const plain = new Map([['a', 1], ['b', 2]]);
const odd = new Odd();
Map.prototype.set.call(odd, 'a', 1);
const revoked = Proxy.revocable({}, {});
const ofRevoked = new Set([revoked.proxy]);
revoked.revoke();
const held = { plain, odd, ofRevoked, fake: Object.create(Map.prototype) };
Object.defineProperty(held, 'trap', { enumerable: true, get: touch });
const loud = `\u001b[31m${'x'.repeat(500)}`;
const classes = { [loud]: class {} };
const named = new Map([[1, new classes[loud]()]]);
const bare = Object.create(null);
const ofBare = new Set([bare, null, undefined, touch]);
globalThis.keep = [held, named, ofBare];
process.stdin.on('data', () => console.log(touched));
console.log('ready');
