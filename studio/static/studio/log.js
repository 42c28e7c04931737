// A log that is refreshed stays where its reader scrolled to; at its end it stays at the end.
let place = 0;
document.addEventListener("htmx:beforeSwap", () => { place = document.querySelector(".log")?.scrollTop ?? 0; });
document.addEventListener("htmx:afterSwap", () => { const log = document.querySelector(".log"); if (log) log.scrollTop = place; });
