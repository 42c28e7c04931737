// Active time, and drafts that save themselves: a pause after the last change, and when the page is left.

const IDLE = 60; // seconds without a sign of life after which time stops counting
const SIGN_OF_LIFE = 300; // seconds between saves that only keep the prompt reserved

export const clock = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;

export class Timer {
  constructor(place) {
    Object.assign(this, { place, seconds: 0, running: false, active: performance.now(), last: performance.now() });
    for (const sign of ["keydown", "pointerdown", "pointermove", "wheel", "scroll", "touchmove"])
      addEventListener(sign, () => { this.active = performance.now(); }, { passive: true, capture: true });
    setInterval(() => this.tick(), 1000);
  }

  start(seconds) {
    Object.assign(this, { seconds, running: true, active: performance.now(), last: performance.now() });
    this.place.textContent = clock(seconds);
  }

  stop() {
    this.running = false;
    this.place.textContent = "";
  }

  get idle() {
    return document.hidden || performance.now() - this.active > IDLE * 1000;
  }

  tick() {
    const now = performance.now();
    if (this.running && !this.idle) this.seconds += Math.min(now - this.last, 2000) / 1000;
    this.last = now;
    if (this.running) this.place.textContent = clock(this.seconds);
  }

  write(form) {
    this.tick();
    form.elements.seconds.value = this.seconds.toFixed(1);
  }
}

export class Draft {
  constructor(form, url, timer, onSaved) {
    Object.assign(this, { form, url, timer, onSaved, unsaved: false, savedAt: 0, lastSign: performance.now() });
    this.interval = setInterval(() => this.beat(), 1000);
  }

  changed() {
    this.unsaved = true;
    this.onSaved("");
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => this.save(), 800);
  }

  data() {
    this.timer.write(this.form);
    return new FormData(this.form);
  }

  async save() {
    this.unsaved = false;
    this.lastSign = performance.now();
    try {
      const response = await fetch(this.url, { method: "POST", body: this.data(), headers: { Accept: "application/json" } });
      if (!response.ok || response.redirected) throw new Error(response.status);
      this.savedAt = performance.now();
      if (!this.unsaved) this.beat();
    } catch {
      this.unsaved = true;
      this.onSaved("not saved");
      if (!this.stopped) this.waiting = setTimeout(() => this.save(), 5000);
    }
  }

  beat() {
    const now = performance.now();
    if (this.savedAt && !this.unsaved) this.onSaved(`saved ${clock((now - this.savedAt) / 1000)}`);
    if (!this.timer.idle && now - this.lastSign > SIGN_OF_LIFE * 1000) this.save();
  }

  // The page is going away: one last message that outlives it.
  leave() {
    if (this.unsaved) navigator.sendBeacon(this.url, this.data());
    this.unsaved = false;
  }

  stop() {
    this.stopped = true;
    this.unsaved = false;
    clearTimeout(this.waiting);
    clearInterval(this.interval);
  }
}
