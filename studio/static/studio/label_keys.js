// Keys every labeling page has; what is labeled adds its own through `act(event, card)`, true when the key was one.

export function listenToLabelingKeys(page, current, { submit, undo }, act) {
  function inMenu(menu, key) {
    if (key === "Escape") { menu.open = false; menu.querySelector("summary").focus(); return true; }
    const choices = menu.querySelectorAll(".sheet > button, .sheet input");
    const found = /^[1-9]$/.test(key) ? choices[Number(key) - 1] : null;
    found?.click();
    return Boolean(found);
  }

  const dialog = (id) => document.getElementById(id)?.showModal();

  function always(event, card) {
    const { key, target } = event;
    if (key === "Backspace") return undo(), true;
    if (key === "g") return dialog("guidelines"), true;
    if (key === "?") return dialog("keys"), true;
    if (!card) return false;
    if (key === "Enter") return target.closest("button, summary, a") ? false : (submit(), true);
    if (key === "s") return openMenu(page, ".skips"), true;
    if (key === "c") return remark(page), true;
    return false;
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
    if (menu && menu.contains(target) && ["Enter", " ", "Tab", "Backspace"].includes(key)) return;
    if (act(event, card) || always(event, card)) event.preventDefault();
  });

  // Menus close when one clicks elsewhere.
  document.addEventListener("click", ({ target }) => {
    page.querySelectorAll(".menu[open]").forEach((menu) => { if (!menu.contains(target)) menu.open = false; });
  });
}

export function openMenu(page, name) {
  page.querySelectorAll(".menu[open]").forEach((other) => { other.open = false; });
  const menu = page.querySelector(name);
  menu.open = true;
  menu.querySelector(".sheet button, .sheet input").focus();
}

export function remark(page) {
  const field = page.querySelector(".remark");
  field.classList.add("open");
  field.querySelector("textarea").focus();
}
