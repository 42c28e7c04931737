// One card: the radios of the form are the truth; the order panel beside them shows it and lets one drag.
import Sortable from "/static/npm/sortable/modular/sortable.esm.js";

const calm = matchMedia("(prefers-reduced-motion: reduce)");

export class Card {
  constructor(element, { announce, changed }) {
    Object.assign(this, { element, announce, changed });
    this.id = element.dataset.prompt;
    this.pair = element.classList.contains("pair");
    this.ties = "ties" in element.dataset;
    this.answers = [...element.querySelectorAll(".answer")];
    this.order = element.querySelector(".order");
    this.current = this.firstUnranked();
    this.listen();
    this.draw();
  }

  get size() {
    return `${this.answers.length} completions`;
  }

  listen() {
    this.element.addEventListener("change", (event) => this.chosen(event.target));
    this.element.addEventListener("input", () => this.changed());
    this.element.addEventListener("focusin", (event) => this.point(event.target.closest(".answer")));
    this.element.addEventListener("pointerdown", (event) => this.point(event.target.closest(".answer")));
    if (!this.order) return;
    this.order.addEventListener("click", (event) => this.clicked(event.target));
    const swiped = new IntersectionObserver((seen) => this.swiped(seen), { root: this.element.querySelector(".answers"), threshold: 0.6 });
    this.answers.forEach((answer) => swiped.observe(answer));
    for (const list of this.order.querySelectorAll(".marks"))
      Sortable.create(list, {
        group: "rank", animation: calm.matches ? 0 : 120, sort: false, delay: 120, delayOnTouchOnly: true,
        onStart: () => this.order.classList.add("dragging"),
        onMove: (event) => this.aim(event.to),
        onEnd: (event) => this.dropped(event),
      });
  }

  // ---- what is ranked how

  rankOf(answer) {
    return Number(answer.querySelector(".ranks input:checked")?.value ?? 0);
  }

  missing() {
    if (this.pair || this.element.elements.all_bad?.checked || this.element.elements.bad_prompt.checked) return [];
    return this.answers.filter((answer) => !this.rankOf(answer));
  }

  // Put a completion at a rank (0: none). Without ties, who was there goes where this one came from.
  rank(answer, rank) {
    const before = this.rankOf(answer);
    const other = !this.ties && rank && this.answers.find((one) => one !== answer && this.rankOf(one) === rank);
    if (other) this.check(other, before);
    this.check(answer, rank);
    this.draw();
    this.changed();
    this.say(answer, rank, other);
    return rank > 0;
  }

  check(answer, rank) {
    for (const input of answer.querySelectorAll(".ranks input")) input.checked = Number(input.value) === rank;
  }

  rankCurrent(rank) {
    if (rank > this.answers.length) return;
    if (this.rank(this.current, rank)) this.focus(this.nextUnranked() ?? this.current);
  }

  nextUnranked() {
    const from = this.answers.indexOf(this.current);
    const turned = [...this.answers.slice(from + 1), ...this.answers.slice(0, from)];
    return turned.find((answer) => !this.rankOf(answer));
  }

  rate(rating) {
    const input = this.current.querySelector(`.ratings input[value="${rating}"]`);
    if (!input) return;
    input.checked = true;
    this.changed();
    this.announce(`${this.current.dataset.letter} rated ${rating} of 7.`);
  }

  toggle(name) {
    const box = this.element.elements[name];
    box.checked = !box.checked;
    this.changed();
    this.announce(`${box.parentElement.textContent.trim().split("\n")[0]} ${box.checked ? "on" : "off"}.`);
    return box.checked;
  }

  chosen(input) {
    if (!input.name?.startsWith("rank_")) return; // lists send change too, when something is dragged
    const answer = input.closest(".answer");
    const rank = Number(input.value);
    const other = !this.ties && this.answers.find((one) => one !== answer && this.rankOf(one) === rank);
    if (other) this.check(other, 0);
    this.draw();
    this.say(answer, rank, other);
  }

  // ---- where she is

  point(answer) {
    if (!answer || answer === this.current) return;
    this.current = answer;
    this.draw();
  }

  focus(answer) {
    this.point(answer);
    answer.focus({ preventScroll: true });
    answer.scrollIntoView({ block: "nearest", inline: "start", behavior: calm.matches ? "auto" : "smooth" });
  }

  firstUnranked() {
    return this.answers.find((answer) => !this.pair && !this.rankOf(answer)) ?? this.answers[0];
  }

  focusFirst() {
    this.current = this.firstUnranked();
    this.draw();
    this.current.focus({ preventScroll: true });
  }

  move(by) {
    const place = this.answers.indexOf(this.current) + by;
    if (this.answers[place]) this.focus(this.answers[place]);
  }

  swiped(seen) {
    if (getComputedStyle(this.element.querySelector(".answers")).gridAutoFlow !== "column") return;
    for (const entry of seen) if (entry.isIntersecting) this.point(entry.target);
  }

  clicked(target) {
    const mark = target.closest(".mark");
    const slot = target.closest(".slot");
    if (mark) this.focus(this.answers.find((answer) => answer.dataset.id === mark.dataset.id));
    else if (slot) this.rankCurrent(Number(slot.dataset.rank));
  }

  aim(list) {
    this.order.querySelectorAll(".slot").forEach((slot) => slot.classList.toggle("target", slot.contains(list)));
  }

  dropped({ item, to }) {
    this.order.classList.remove("dragging");
    this.aim(null);
    const answer = this.answers.find((one) => one.dataset.id === item.dataset.id);
    this.point(answer);
    this.rank(answer, Number(to.dataset.rank));
  }

  // ---- what she sees and hears

  draw() {
    for (const answer of this.answers) {
      answer.classList.toggle("current", answer === this.current);
      if (this.order) this.drawMark(answer, this.rankOf(answer));
    }
    this.order?.classList.toggle("complete", this.answers.every((answer) => this.rankOf(answer)));
  }

  drawMark(answer, rank) {
    const mark = this.order.querySelector(`.mark[data-id="${answer.dataset.id}"]`);
    const list = this.order.querySelector(`.marks[data-rank="${rank}"]`);
    if (mark.parentElement !== list) list.append(mark);
    mark.classList.toggle("current", answer === this.current);
    answer.classList.toggle("ranked", rank > 0);
  }

  say(answer, rank, other) {
    const name = answer.dataset.letter;
    const tied = this.answers.filter((one) => one !== answer && rank && this.rankOf(one) === rank);
    const left = this.answers.filter((one) => !this.rankOf(one)).length;
    const text = rank ? `${name} is ${rank}${tied.length ? `, tied with ${tied.map((one) => one.dataset.letter).join(", ")}` : ""}` : `${name} has no rank`;
    const moved = other ? ` ${other.dataset.letter} moved to ${this.rankOf(other) || "unranked"}.` : "";
    this.announce(`${text}.${moved} ${left ? `${left} unranked.` : "All ranked; Enter submits."}`);
  }

  complain(missing) {
    this.element.querySelectorAll(".answer > .error").forEach((old) => old.remove());
    for (const answer of missing)
      answer.append(Object.assign(document.createElement("p"), { className: "error", textContent: `${answer.dataset.letter} has no rank yet.` }));
    this.focus(missing[0]);
    this.announce(`Not submitted: ${missing.map((answer) => answer.dataset.letter).join(", ")} without a rank.`);
  }
}
