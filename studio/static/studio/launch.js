// The launch form: what was checked is stale once something changes; the server checks again either way.
document.addEventListener("input", (event) => {
  if (!event.target.closest("#launch") || event.target.name === "name") return;
  const stale = document.querySelector("#check .stale");
  if (!stale) return;
  stale.hidden = false;
  document.querySelector("#check [data-launch]").textContent = "Check and launch";
});
