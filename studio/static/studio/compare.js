// Stream every answer into its column, stop and retry them, and vote with one key.
import { csrfToken, settle, toast } from "./studio.js";

const page = document.getElementById("comparison");
const running = new Map(); // column → AbortController

async function* lines(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    const parts = (rest + (value ?? "")).split("\n");
    rest = done ? "" : parts.pop();
    for (const part of parts) if (part) yield JSON.parse(part);
    if (done) return;
  }
}

async function ask(column, again = false) {
  const text = column.querySelector(".text");
  const stop = column.querySelector(".stop");
  const retry = column.querySelector(".again");
  const control = new AbortController();
  running.set(column, control);
  text.replaceChildren();
  text.classList.add("streaming");
  text.setAttribute("aria-busy", "true");
  column.querySelector(".error-text").hidden = true;
  stop.hidden = false;
  retry.hidden = true;
  try {
    const body = new URLSearchParams(again ? { again: "1" } : {});
    const response = await fetch(column.dataset.url, { method: "POST", body, headers: { "X-CSRFToken": csrfToken() }, signal: control.signal });
    if (!response.ok) throw new Error(`the studio answered ${response.status}`);
    for await (const event of lines(response)) show(column, event);
  } catch (error) {
    if (error.name !== "AbortError") fail(column, `The answer broke off (${error.message}). Retry it.`);
  } finally {
    running.delete(column);
    text.classList.remove("streaming");
    text.setAttribute("aria-busy", "false");
    stop.hidden = true;
    retry.hidden = false;
    ready();
  }
}

function show(column, event) {
  const text = column.querySelector(".text");
  if (event.progress) { // a search: nothing to read until it has chosen
    column.dataset.searching = "";
    text.textContent = event.progress;
  }
  if (event.text) {
    if ("searching" in column.dataset) text.replaceChildren();
    delete column.dataset.searching;
    text.append(event.text);
  }
  if (event.done) {
    text.classList.remove("streaming");
    text.innerHTML = event.html; // rendered and cleaned by the server
    settle(text);
    const ends = { length: " · cut at max_tokens", stopped: " · stopped" };
    const count = event.tokens ? `${event.tokens} tokens · ` : "";
    column.querySelector(".facts").textContent = `${count}${event.seconds.toFixed(1)} s${ends[event.finish_reason] ?? ""}`;
    delete column.dataset.searching;
    const tree = column.querySelector(".tree");
    if (tree) tree.hidden = !event.html;
    if (event.error) fail(column, event.error);
  }
  const chip = column.querySelector(".score");
  if (chip && "score" in event && event.score !== null) chip.textContent = event.score.toFixed(2);
  if (chip && event.why) { chip.textContent = "no score"; chip.title = event.why; }
}

// A search is told to end, and answers with its best path so far; a model that writes is cut off.
function stop(column) {
  if (!("searching" in column.dataset)) return running.get(column)?.abort();
  fetch(column.dataset.url, { method: "POST", body: new URLSearchParams({ stop: "1" }), headers: { "X-CSRFToken": csrfToken() } });
}

function fail(column, message) {
  const place = column.querySelector(".error-text");
  place.textContent = message;
  place.hidden = false;
}

function ready() {
  const waits = running.size > 0;
  for (const button of document.querySelectorAll("#vote button")) button.disabled = waits;
}

for (const column of page.querySelectorAll(".answer")) {
  column.querySelector(".stop")?.addEventListener("click", () => stop(column));
  column.querySelector(".again")?.addEventListener("click", () => ask(column, true));
  if (!("answered" in column.dataset)) ask(column);
}
ready();

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input:not([type=radio]), textarea, select")) return;
  if (event.key === "n") { event.preventDefault(); document.querySelector('.page-head a.button')?.click(); }
  if ("voted" in page.dataset) return;
  const choice = { 0: "tie", x: "bad" }[event.key] ?? (Number(event.key) <= Number(page.dataset.count) ? "ABCD"[Number(event.key) - 1] : null);
  const button = choice && document.querySelector(`#vote button[value="${choice}"]`);
  if (!button) return;
  if (button.disabled) toast("The answers are still coming. Stop them, or wait a moment.");
  else button.click();
});
