// What was decided and has not arrived yet: sent in order, in the background, kept in this browser until it has arrived.
import { csrfToken, toast } from "./studio.js";

const PAUSES = [1, 2, 5, 10, 20]; // seconds between tries

export class Outbox {
  constructor(user, { onState, onRefused }) {
    Object.assign(this, { place: `rank-outbox-${user}`, onState, onRefused, tries: 0, sending: false, waiters: [] });
    addEventListener("online", () => this.send());
    addEventListener("beforeunload", (event) => { if (this.tries > 0 && this.items().length) event.preventDefault(); });
  }

  items() {
    return JSON.parse(localStorage.getItem(this.place) ?? "[]");
  }

  keep(items) {
    localStorage.setItem(this.place, JSON.stringify(items));
  }

  add(url, data, prompt) {
    const fields = [...data].filter(([name]) => name !== "csrfmiddlewaretoken");
    this.keep([...this.items(), { url, fields, prompt, id: crypto.randomUUID?.() ?? String(Math.random()) }]);
    this.send();
  }

  // Resolves once everything has arrived.
  empty() {
    return this.items().length ? new Promise((done) => this.waiters.push(done)) : Promise.resolve();
  }

  async send() {
    if (this.sending) return;
    this.sending = true;
    clearTimeout(this.timer);
    while (this.items().length) {
      const [item] = this.items();
      if (!(await this.deliver(item))) break;
      this.keep(this.items().filter((one) => one.id !== item.id));
      this.tries = 0;
      this.onState("");
    }
    this.sending = false;
    if (!this.items().length) this.waiters.splice(0).forEach((done) => done());
  }

  // True when the server has decided, either way.
  async deliver(item) {
    let response = null;
    try {
      const headers = { Accept: "application/json", "X-CSRFToken": csrfToken() };
      response = await fetch(item.url, { method: "POST", body: new URLSearchParams(item.fields), headers, keepalive: true });
    } catch { /* no connection: below */ }
    if (response?.redirected || response?.status === 403) return this.later("Log in again in another tab; what you decided is kept here.");
    if (!response || response.status >= 500 || response.status === 429) return this.later("The studio does not answer. What you decided is kept here and sent when it does.");
    if (!response.ok) this.onRefused(item, (await response.json().catch(() => ({}))).detail ?? `It was refused (${response.status}).`);
    return true;
  }

  later(text) {
    if (this.tries === 0) toast(text, { error: true, seconds: 12 });
    const pause = PAUSES[Math.min(this.tries++, PAUSES.length - 1)];
    this.onState(`${this.items().length} not sent yet`);
    this.timer = setTimeout(() => this.send(), pause * 1000);
    return false;
  }
}
