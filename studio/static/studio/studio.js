// What every page does: CSRF for htmx, toasts, dialogs by attribute, math drawn where it stands.

export function toast(text, { error = false, action = null, seconds = 6 } = {}) {
  const box = document.createElement("div");
  box.className = error ? "toast error" : "toast";
  box.append(text);
  if (action) {
    const button = document.createElement("button");
    button.textContent = action.label;
    button.addEventListener("click", () => { box.remove(); action.run(); });
    box.append(button);
  }
  document.getElementById("toasts").append(box);
  setTimeout(() => box.remove(), seconds * 1000);
  return box;
}

export function csrfToken() {
  return document.cookie.split("; ").find((c) => c.startsWith("csrftoken="))?.slice(10) ?? "";
}

// Text that has just come onto the page: its math is drawn, its wide parts can be scrolled by keyboard.
export async function settle(root = document) {
  await drawMath(root);
  reach();
}

// What scrolls takes a tab stop, what fits takes none.
export function reach() {
  for (const element of document.querySelectorAll("pre, .math.display, .table:not(:has(a, button, input)), .prose table, .clamp, .preview, .log")) {
    const wide = element.scrollWidth > element.clientWidth + 1;
    const high = element.scrollHeight > element.clientHeight + 1 && getComputedStyle(element).overflowY !== "hidden";
    if (wide || high) element.tabIndex = 0;
    else element.removeAttribute("tabindex");
  }
}

// KaTeX is fetched only by pages that show math.
let katex = null;
async function drawMath(root) {
  const found = root.querySelectorAll(".math:not([data-drawn])");
  if (!found.length) return;
  if (!katex) {
    const sheet = Object.assign(document.createElement("link"), { rel: "stylesheet", href: "/static/npm/katex/katex.min.css" });
    document.head.append(sheet);
    katex = (await import("/static/npm/katex/katex.mjs")).default;
  }
  for (const element of found) {
    const source = element.textContent;
    element.dataset.drawn = source;
    katex.render(source, element, { displayMode: element.classList.contains("display"), throwOnError: false, trust: false, maxExpand: 200 });
  }
}

document.addEventListener("htmx:configRequest", (event) => { event.detail.headers["X-CSRFToken"] = csrfToken(); });
document.addEventListener("htmx:afterSettle", (event) => settle(event.target));
document.addEventListener("htmx:responseError", (event) => {
  const { status, responseText } = event.detail.xhr;
  const text = status === 413 ? "That is larger than the server accepts." : new DOMParser().parseFromString(responseText, "text/html").body.textContent.trim().slice(0, 200);
  toast(`${status}: ${text || "the request failed"}`, { error: true });
});
document.addEventListener("htmx:sendError", () => toast("The studio does not answer. What you did is still on this page; try again in a moment.", { error: true }));

// <button data-opens="id"> opens a <dialog id>; <button data-closes> closes the one it is in.
document.addEventListener("click", (event) => {
  const opener = event.target.closest("[data-opens]");
  if (opener) { event.preventDefault(); document.getElementById(opener.dataset.opens).showModal(); }
  const closer = event.target.closest("[data-closes]");
  if (closer) { event.preventDefault(); closer.closest("dialog").close(); }
  const menu = document.querySelector(".switch[open]");
  if (menu && !menu.contains(event.target)) menu.open = false;
});

for (const box of document.querySelectorAll("#toasts .toast")) setTimeout(() => box.remove(), 8000);
addEventListener("resize", reach);
document.addEventListener("toggle", reach, true); // what was folded had no size
settle();
