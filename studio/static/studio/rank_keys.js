// Keys of the ranking page, the same the controls print.

const JOIN = 300; // ms in which digits join: 1 then 2 is 12

export function listenToKeys(page, current, { submit, skip, undo }) {
  let typed = "";
  let waiting = null;

  // A digit counts at once unless a longer number could still come of it.
  function digit(key, card) {
    clearTimeout(waiting);
    typed += key;
    const most = card.answers.length;
    const settle = () => { const rank = Number(typed); typed = ""; card.rankCurrent(rank); };
    if (Number(typed) * 10 > most || key === "0" && typed === "0") settle();
    else waiting = setTimeout(settle, JOIN);
  }

  function choose(card, value) {
    const button = card.element.querySelectorAll(".choice");
    const found = { 1: button[0], 2: button[button.length - 1], 0: card.element.querySelector('[value="tie"]'), x: card.element.querySelector('[value="none"]') }[value];
    if (found) submit(found);
  }

  function inMenu(menu, key) {
    if (key === "Escape") { menu.open = false; menu.querySelector("summary").focus(); return true; }
    const choices = menu.querySelectorAll(".sheet > button, .sheet input");
    const found = /^[1-9]$/.test(key) ? choices[Number(key) - 1] : null;
    found?.click();
    return Boolean(found);
  }

  function open(menu) {
    page.querySelectorAll(".menu[open]").forEach((other) => { other.open = false; });
    menu.open = true;
    menu.querySelector(".sheet button, .sheet input").focus();
  }

  const dialog = (id) => document.getElementById(id)?.showModal();

  function act(event, card) {
    const { key, target } = event;
    const shifted = event.shiftKey && /^Digit[1-7]$/.test(event.code) && !/^[0-9]$/.test(key); // some layouts shift for digits
    if (shifted && card) return card.rate(Number(event.code.slice(5))), true;
    if (key === "Backspace") return undo(), true;
    if (key === "g") return dialog("guidelines"), true;
    if (key === "?") return dialog("keys"), true;
    if (!card) return false;
    if (key === "Enter") return target.closest("button, summary, a") ? false : (submit(), true);
    if (/^[0-9]$/.test(key)) return card.pair ? choose(card, key) : digit(key, card), true;
    if (key === "x") return card.pair ? choose(card, "x") : card.toggle("all_bad") && remark(), true;
    if (key === "s") return open(page.querySelector(".skips")), true;
    if (key === "f") return open(page.querySelector(".flags")), true;
    if (key === "c") return remark(), true;
    const steps = { ArrowUp: -1, ArrowDown: 1, ArrowLeft: -1, ArrowRight: 1 };
    const sideways = target.matches("input[type=radio], pre, .math, table"); // these have a use for left and right themselves
    if (key in steps && !(sideways && /Left|Right/.test(key))) return card.move(steps[key]), true;
    return false;
  }

  function remark() {
    const field = page.querySelector(".remark");
    field.classList.add("open");
    field.querySelector("textarea").focus();
  }

  document.addEventListener("keydown", (event) => {
    const card = current();
    const { target, key } = event;
    if (event.isComposing || document.querySelector("dialog[open]") || event.altKey) return;
    if (key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); return submit(); }
    if (event.ctrlKey || event.metaKey) return;
    if (target.matches("textarea, select, input:not([type=radio], [type=checkbox])")) {
      if (key === "Escape") card?.focus(card.current);
      return;
    }
    const menu = page.querySelector(".menu[open]");
    if (menu && inMenu(menu, key)) return event.preventDefault();
    if (!(menu && menu.contains(target) && ["Enter", " ", "Tab", "Backspace"].includes(key)) && act(event, card)) event.preventDefault();
  });

  // Menus close when one clicks elsewhere; a click on a toggle gives the keys back to the completions.
  document.addEventListener("click", ({ target }) => {
    page.querySelectorAll(".menu[open]").forEach((menu) => { if (!menu.contains(target)) menu.open = false; });
  });
}
