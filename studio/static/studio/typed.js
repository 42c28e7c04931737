// What is typed after a request was asked for is newer than its answer: the answer does not take it away.
const when = new WeakMap(); // of each field's last input
let typed = [], untold = [];

document.addEventListener("input", (event) => when.set(event.target, event.timeStamp));

document.addEventListener("htmx:beforeSwap", ({ detail: { requestConfig } }) => {
  const asked = requestConfig.triggeringEvent?.timeStamp;
  typed = [...document.querySelectorAll("input, select, textarea")].filter((field) => when.get(field) > asked)
    .map((field) => ({ field, value: field.value, checked: field.checked }));
});

// A part beside the answer stays as it is: what was typed into it will be told, and brings it up to date.
document.addEventListener("htmx:oobBeforeSwap", (event) => {
  if (typed.some(({ field }) => event.detail.target.contains(field))) event.preventDefault();
});

// In the answer itself the new field takes what was typed into the old one, unless it is no choice there any more.
document.addEventListener("htmx:afterSwap", () => {
  for (const { field, value, checked } of typed.splice(0)) {
    const now = field.isConnected ? null : document.getElementById(field.id);
    if (!now || (now.options && ![...now.options].some((option) => option.value === value))) continue;
    Object.assign(now, { value, checked });
    if (now === document.activeElement && field.selectionStart != null) now.setSelectionRange(field.selectionStart, field.selectionEnd);
    when.set(now, when.get(field));
    untold.push(now);
  }
});

// The old field is gone with whatever it had to tell; the new one tells it once the requests that waited have had their turn.
document.addEventListener("htmx:afterSettle", () => {
  for (const field of untold.splice(0)) {
    const tell = () => field.dispatchEvent(new Event("change", { bubbles: true }));
    if (field === document.activeElement) field.addEventListener("blur", tell, { once: true });
    else setTimeout(tell);
  }
});
