// One card of steps: the radios of the form are the truth; this moves between them, counts them and fills them in.
import { csrfToken, reach, settle, toast } from "./studio.js";

const calm = matchMedia("(prefers-reduced-motion: reduce)");
const WORDS = { "-1": "bad", 0: "neutral", 1: "good", "": "unmarked" };

const partsOf = (step) => ({
  faces: [...step.querySelectorAll(".faces input")],
  unsure: step.querySelector(".unsure input"),
  better: step.querySelector(".better textarea"),
  proposals: [...step.querySelectorAll(".proposal")],
});

export class Card {
  constructor(element, { announce, changed }) {
    Object.assign(this, { element, announce, changed });
    this.id = element.dataset.prompt;
    this.stops = "stops" in element.dataset;
    this.steps = [...element.querySelectorAll(".step")];
    this.parts = new Map(this.steps.map((step) => [step, partsOf(step)])); // looked up once: a trace may have hundreds
    this.current = this.firstUnmarked();
    this.listen();
    this.draw();
  }

  get size() {
    return this.steps.length === 1 ? "1 step" : `${this.steps.length} steps`;
  }

  listen() {
    this.element.addEventListener("change", (event) => this.chosen(event.target));
    this.element.addEventListener("input", () => this.changed());
    this.element.addEventListener("focusin", (event) => this.point(event.target.closest(".step")));
    this.element.addEventListener("pointerdown", (event) => this.point(event.target.closest(".step")));
    this.element.addEventListener("click", (event) => this.clicked(event));
    this.element.addEventListener("formdata", ({ formData }) => { // what says nothing is not sent
      for (const [name, value] of [...formData]) if (name.startsWith("rewrite_") && !value.trim()) formData.delete(name);
    });
    this.element.querySelector(".mark-rest").addEventListener("click", () => this.markRest());
    this.element.querySelector(".accept-rest")?.addEventListener("click", () => this.acceptRest());
  }

  // ---- what is marked how

  ratingOf(step) {
    return this.parts.get(step).faces.find((face) => face.checked)?.value ?? "";
  }

  // Steps that are asked: all, or those up to the first bad one.
  get asked() {
    const bad = this.stops ? this.steps.findIndex((step) => this.ratingOf(step) === "-1") : -1;
    return bad < 0 ? this.steps : this.steps.slice(0, bad + 1);
  }

  get unmarked() {
    return this.asked.filter((step) => !this.ratingOf(step));
  }

  missing() {
    return this.unmarked;
  }

  set(step, rating) {
    for (const input of this.parts.get(step).faces) input.checked = input.value === rating;
    step.querySelector(".said > .error")?.remove();
  }

  mark(rating) {
    this.set(this.current, rating);
    this.marked(this.current);
    if (rating) this.focus(this.nextUnmarked() ?? this.current);
  }

  marked(step) {
    this.draw();
    this.changed();
    this.announce(`Step ${this.numberOf(step)} ${WORDS[this.ratingOf(step)]}. ${this.left()}`);
  }

  left() {
    const left = this.unmarked.length;
    return left ? `${left} unmarked.` : "All marked; Enter submits.";
  }

  markRest() {
    this.fill(this.unmarked.map((step) => [step, "1"]), "marked good");
  }

  // What the sources propose for a step; null when they propose nothing, or not the same.
  proposedFor(step) {
    const ratings = new Set(this.parts.get(step).proposals.map((proposal) => proposal.dataset.rating));
    return ratings.size === 1 ? [...ratings][0] : null;
  }

  accept() {
    const rating = this.proposedFor(this.current);
    if (rating === null) return this.announce(this.current.querySelector(".proposal") ? "The sources disagree on this step: mark it yourself." : "Nothing is proposed for this step.");
    this.mark(rating);
  }

  acceptRest() {
    const found = this.unmarked.map((step) => [step, this.proposedFor(step)]).filter(([, rating]) => rating !== null);
    this.fill(found, "marked as proposed");
  }

  // Mark several at once, from the top, as far as they are still asked.
  fill(marks, what) {
    let count = 0;
    for (const [step, rating] of marks) {
      this.set(step, rating);
      count += 1;
      if (this.stops && rating === "-1") break;
    }
    this.draw();
    if (count) this.changed();
    this.focus(this.nextUnmarked() ?? this.current);
    this.announce(`${count} ${count === 1 ? "step" : "steps"} ${what}. ${this.left()}`);
  }

  flag() {
    const box = this.current.querySelector(".unsure input");
    box.checked = !box.checked;
    this.draw();
    this.changed();
    this.announce(`Step ${this.numberOf(this.current)}: ${box.checked ? "unsure" : "sure"}.`);
  }

  chosen(input) {
    const step = input.closest(".step");
    if (!step) return;
    if (!input.name.startsWith("step_")) return this.draw();
    step.querySelector(".said > .error")?.remove();
    this.marked(step);
  }

  // ---- a better step

  rewrite() {
    const better = this.current.querySelector(".better");
    better.open = true;
    better.querySelector("textarea").focus();
    reach();
  }

  clicked(event) {
    const step = event.target.closest(".step");
    if (!step) return;
    if (event.target.matches(".use")) this.use(step, event.target.nextElementSibling.textContent);
    if (event.target.matches(".sampling")) { event.preventDefault(); this.openSampling(step, event.target); }
    if (event.target.matches(".sample")) this.sample(step, event.target);
  }

  use(step, text) {
    const field = step.querySelector(".better textarea");
    field.value = text;
    field.focus();
    this.draw();
    this.changed();
  }

  async openSampling(step, link) {
    link.replaceWith(await this.fragment(link.href) ?? link);
    step.querySelector(".better select")?.focus();
  }

  async sample(step, button) {
    const panel = button.closest(".sampler");
    const { prompt, url } = panel.dataset;
    const data = new URLSearchParams({ prompt, step: step.dataset.step, model: panel.querySelector("select")?.value ?? "" });
    panel.setAttribute("aria-busy", "true");
    button.disabled = true;
    const fresh = await this.fragment(url, { method: "POST", body: data });
    panel.removeAttribute("aria-busy");
    button.disabled = false;
    if (!fresh) return;
    step.querySelector(".alternatives").replaceWith(fresh.querySelector(".alternatives"));
    panel.replaceWith(fresh);
    this.announce(`${step.querySelectorAll(".alternatives li").length} alternatives for step ${this.numberOf(step)}.`);
  }

  // What the studio says of a step's alternatives, ready for the page; null, and a toast, when it does not answer.
  async fragment(url, options = {}) {
    try {
      const response = await fetch(url, { ...options, headers: { "HX-Request": "true", "X-CSRFToken": csrfToken() } });
      if (!response.ok || response.redirected) throw new Error(response.status);
      const found = new DOMParser().parseFromString(await response.text(), "text/html").querySelector(".sampler");
      await settle(found);
      return document.adoptNode(found);
    } catch {
      toast("The studio does not answer. Your marks are kept; try again in a moment.", { error: true });
      return null;
    }
  }

  showReference() {
    const reference = this.element.querySelector(".reference");
    if (!reference) return this.announce("This problem has no reference answer.");
    reference.open = !reference.open;
    if (reference.open) this.announce(reference.querySelector(".prose").textContent.trim().slice(0, 200));
  }

  // ---- where she is

  numberOf(step) {
    return Number(step.dataset.step) + 1;
  }

  point(step) {
    if (!step || step === this.current) return;
    this.current = step;
    this.draw();
  }

  focus(step) {
    this.point(step);
    step.focus({ preventScroll: true });
    const high = step.offsetHeight > innerHeight * 0.7; // its beginning, rather than whichever end is nearer
    step.scrollIntoView({ block: high ? "start" : "nearest", behavior: calm.matches || this.steps.length > 60 ? "auto" : "smooth" });
  }

  firstUnmarked() {
    return this.unmarked[0] ?? this.steps[0];
  }

  focusFirst() {
    this.current = this.firstUnmarked();
    this.draw();
    this.current.focus({ preventScroll: this.current === this.steps[0] });
  }

  nextUnmarked() {
    const left = this.unmarked;
    const from = this.steps.indexOf(this.current);
    return left.find((step) => this.steps.indexOf(step) > from) ?? left[0];
  }

  toNextUnmarked() {
    const next = this.nextUnmarked();
    if (next) this.focus(next);
    else this.announce("Every step is marked.");
  }

  move(by) {
    const step = this.steps[this.steps.indexOf(this.current) + by];
    if (step) this.focus(step);
  }

  // ---- what she sees and hears

  draw() {
    const asked = this.asked.length;
    this.steps.forEach((step, place) => {
      const rating = this.ratingOf(step);
      const { unsure, better, proposals } = this.parts.get(step);
      step.classList.toggle("current", step === this.current);
      step.classList.toggle("after", place >= asked);
      step.classList.toggle("flagged", unsure.checked);
      step.classList.toggle("rewritten", Boolean(better.value.trim()));
      for (const proposal of proposals) {
        proposal.classList.toggle("accepted", rating === proposal.dataset.rating);
        proposal.classList.toggle("corrected", rating !== "" && rating !== proposal.dataset.rating);
      }
    });
    this.element.querySelector(".marked").textContent = `${asked - this.unmarked.length} of ${asked}`;
  }

  complain(missing) {
    this.element.querySelectorAll(".said > .error").forEach((old) => old.remove());
    for (const step of missing)
      step.querySelector(".said").prepend(Object.assign(document.createElement("p"), { className: "error", textContent: "Not marked yet." }));
    this.focus(missing[0]);
    this.announce(`Not submitted: ${missing.length} ${missing.length === 1 ? "step is" : "steps are"} not marked.`);
  }
}
