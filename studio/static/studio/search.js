// A step's text and numbers beside its tree, without leaving it; arrow keys walk along the tree.
import { settle } from "./studio.js";

const panel = () => document.getElementById("node");

async function show(link) {
  const response = await fetch(link.href.baseVal ?? link.href, { headers: { "HX-Request": "true", "HX-Target": "node" } });
  if (!response.ok) return location.assign(link.href.baseVal ?? link.href);
  panel().outerHTML = await response.text(); // rendered and cleaned by the server
  settle(panel());
  mark(link.dataset.node);
  panel().scrollIntoView({ block: "nearest" });
}

function mark(id) {
  for (const other of document.querySelectorAll(".search-tree a[aria-current]")) other.removeAttribute("aria-current");
  document.querySelector(`.search-tree a[data-node="${Number(id)}"]`)?.setAttribute("aria-current", "true");
}

function place(link) {
  const { x, y } = link.querySelector("svg");
  return { x: x.baseVal.value, y: y.baseVal.value };
}

// The nearest box in that direction: along a path first, then up and down.
function next(link, key) {
  const here = place(link);
  const ahead = {
    ArrowRight: ({ x }) => x > here.x, ArrowLeft: ({ x }) => x < here.x,
    ArrowDown: ({ x, y }) => x === here.x && y > here.y, ArrowUp: ({ x, y }) => x === here.x && y < here.y,
  }[key];
  const far = ({ x, y }) => Math.abs(x - here.x) * 4 + Math.abs(y - here.y) + (key === "ArrowLeft" && y > here.y ? 1e6 : 0);
  return [...document.querySelectorAll(".search-tree a")].filter((other) => ahead(place(other))).sort((a, b) => far(place(a)) - far(place(b)))[0];
}

document.addEventListener("click", (event) => {
  const link = event.target.closest(".search-tree a[data-node]");
  if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey) { event.preventDefault(); show(link); }
  if (event.target.closest("[data-shuts]")) { event.preventDefault(); panel().replaceChildren(); mark(-1); }
});

document.addEventListener("keydown", (event) => {
  const link = event.target.closest?.(".search-tree a");
  if (!link || !event.key.startsWith("Arrow")) return;
  event.preventDefault();
  next(link, event.key)?.focus();
});
