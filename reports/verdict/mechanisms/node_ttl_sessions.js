// Sessions that were idle for some seconds are ended by a timer, and most clients never log out.
'use strict';

const { Program, serve } = require('../hosts_node.js');

class Sessions extends Program {
  constructor(parameters) {
    super(parameters);
    this.sessions = new Map();
  }

  start() {
    setInterval(() => this.sweep(Date.now() - 1000 * this.parameters.seconds), 500);
  }

  sweep(oldest) {
    for (const [token, session] of this.sessions) {
      if (session.used >= oldest) break; // a touched one stands at the end
      this.sessions.delete(token);
    }
  }

  use(token, user) {
    const session = this.sessions.get(token) ?? { user, basket: [], since: Date.now() };
    session.used = Date.now();
    session.basket = [...session.basket, user].slice(-5);
    this.sessions.delete(token);
    this.sessions.set(token, session);
  }

  answer(request) {
    if (request.path === '/login') {
      request.session.state.token = `${this.below(2 ** 32).toString(16)}-${this.requests}`;
      this.use(request.session.state.token, request.n);
      return request.session.state.token;
    }
    const [oldest] = this.sessions.keys();
    if (request.path !== '/page' || oldest === undefined || !this.chance(this.parameters.touching)) return null;
    this.use(oldest, request.n);
    return oldest;
  }

  held() {
    return this.sessions.size;
  }
}

serve(Sessions);
