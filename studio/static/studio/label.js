// A labeling page, whatever is labeled: turns the card when it is done, sends in the background, keeps drafts, undoes.
import { reach, settle, toast } from "./studio.js";
import { Outbox } from "./label_outbox.js";
import { Draft, Timer } from "./label_draft.js";

const page = document.getElementById("desk");
const outbox = new Outbox(page.dataset.user, { onState: showState, onRefused: refused });
const timer = new Timer(document.getElementById("timer"));
let Card = null; // the class of cards: what is labeled, and how
let card = null; // the Card on the page; null when there is nothing to label
let draft = null;
let ahead = null; // promise of the next card's element
let undoToast = null;

const announce = (text) => { document.getElementById("announce").textContent = text; };

async function fetchCard(besides) {
  const query = besides.map((id) => `besides=${id}`).join("&");
  const response = await fetch(`${page.dataset.next}?${query}`, { headers: { Accept: "text/html" } });
  if (!response.ok || response.redirected) throw new Error(`The next prompt did not come (${response.status}).`);
  const element = new DOMParser().parseFromString(await response.text(), "text/html").getElementById("card");
  await settle(element);
  return element;
}

// The prompt after this one, leased and rendered while this one is read. It waits for what is still being sent,
// because a lease is free only once its label has arrived.
function fetchAhead() {
  const here = card?.id;
  ahead = here ? outbox.empty().then(() => fetchCard([here])).catch(() => null) : null;
}

function show(element) {
  const old = document.getElementById("card");
  if (old !== element) old.replaceWith(document.adoptNode(element));
  reach();
  const given = element.matches("form");
  card = given ? new Card(element, { announce, changed: () => draft.changed() }) : null;
  draft = given ? new Draft(element, page.dataset.draft, timer, showSaved) : null;
  given ? timer.start(Number(element.dataset.seconds)) : (timer.stop(), window.htmx?.process(element));
  fetchAhead();
  return given;
}

async function turn() {
  card?.element.setAttribute("aria-busy", "true");
  let element = await ahead;
  if (!element || !element.matches("form")) { // nothing was free then: look again, with everything sent
    await outbox.empty();
    element = await fetchCard([]).catch((error) => (toast(error.message, { error: true }), null));
  }
  if (!element) { card?.element.removeAttribute("aria-busy"); return; }
  window.scrollTo(0, 0);
  if (show(element)) card.focusFirst();
  announce(card ? `Next prompt, ${card.size}.` : "Nothing left to label.");
}

function count(by) {
  for (const id of ["done", "today"]) {
    const place = document.getElementById(id);
    place.textContent = Number(place.textContent) + by;
  }
  page.querySelector(".label-head progress").value += by;
}

function submit(submitter = null) {
  if (!card || card.element.ariaBusy === "true") return;
  const missing = submitter ? [] : card.missing();
  if (missing.length) return card.complain(missing);
  timer.write(card.element);
  decide(card.element.action, new FormData(card.element, submitter), "Submitted");
  count(1);
}

function skip(button) {
  if (!card || card.element.ariaBusy === "true") return;
  timer.write(card.element);
  decide(button.formAction, new FormData(card.element, button), "Skipped");
}

function decide(url, data, text) {
  draft.stop();
  outbox.add(url, data, card.id);
  undoToast?.remove();
  undoToast = toast(text, { action: { label: "Undo", run: undo } });
  turn();
}

async function undo() {
  undoToast?.remove();
  await outbox.empty();
  const data = new FormData(card?.element);
  if (!card) data.set("csrfmiddlewaretoken", document.querySelector("[name=csrfmiddlewaretoken]").value);
  else { timer.write(card.element); data.set("seconds", card.element.elements.seconds.value); draft.stop(); }
  try {
    const response = await fetch(page.dataset.undo, { method: "POST", body: data, headers: { Accept: "application/json" } });
    const answer = await response.json();
    if (!response.ok) { draft?.changed(); return toast(answer.detail, { error: true }); }
    if (answer.was !== "skip") count(-1);
    await ahead;
    if (show(await fetchCard([]))) card.focusFirst();
    announce("The last decision is open again.");
  } catch {
    draft?.changed();
    toast("The studio does not answer, so nothing was undone. Try again in a moment.", { error: true });
  }
}

// The server would not take a label that was sent: it kept it as a draft, and says why.
function refused(item, detail) {
  if (item.url.endsWith("/submit/")) count(-1);
  toast(detail, { error: true, seconds: 20, action: { label: "Look at it", run: () => location.reload() } });
}

function showState(text) {
  const place = document.querySelector(".saved");
  if (place) { place.textContent = text; place.classList.toggle("trouble", Boolean(text)); }
}

function showSaved(text) {
  if (!outbox.items().length) showState("");
  const place = document.querySelector(".saved");
  if (place && !place.classList.contains("trouble")) place.textContent = text;
}

page.addEventListener("submit", (event) => {
  event.preventDefault();
  const button = event.submitter;
  if (button?.classList.contains("undo")) undo();
  else if (button?.name === "reason") skip(button);
  else submit(button?.matches("[data-decides]") ? button : null);
});

// A page that waits looks again by itself, but only while somebody sees it: what it finds is reserved for her.
page.addEventListener("htmx:beforeRequest", (event) => { if (document.hidden) event.preventDefault(); });
page.addEventListener("htmx:afterSettle", ({ target }) => {
  if (card || !target.matches("form#card")) return;
  show(target);
  if (document.activeElement === document.body) card.focusFirst();
  announce(`A prompt is free now, ${card.size}.`);
});
window.addEventListener("pagehide", () => draft?.leave());

// Begin: cards are of this class, keys are heard by this listener.
export function start(cards, listenToKeys) {
  Card = cards;
  listenToKeys(page, () => card, { submit, skip, undo });
  const waiting = outbox.items().map((item) => item.prompt);
  show(document.getElementById("card"));
  if (waiting.length) { // sent from this browser, but not arrived when it was closed
    outbox.empty().then(() => waiting.includes(card?.id) && turn());
    outbox.send();
  }
}
