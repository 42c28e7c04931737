// <button data-copies="id"> puts the text of that element on the clipboard.
import { toast } from "./studio.js";

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copies]");
  if (!button) return;
  const source = document.getElementById(button.dataset.copies);
  try {
    await navigator.clipboard.writeText(source.textContent);
    toast("Copied");
  } catch { // not allowed on a plain http address: leave it selected
    getSelection().selectAllChildren(source);
    toast("Selected: copy it with Ctrl+C");
  }
});
