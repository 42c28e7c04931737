// Keys of the ranking page, the same the controls print.
import { listenToLabelingKeys, openMenu, remark } from "./label_keys.js";

const JOIN = 300; // ms in which digits join: 1 then 2 is 12

export function listenToKeys(page, current, actions) {
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
    if (found) actions.submit(found);
  }

  function act(event, card) {
    const { key, target } = event;
    if (!card) return false;
    const shifted = event.shiftKey && /^Digit[1-7]$/.test(event.code) && !/^[0-9]$/.test(key); // some layouts shift for digits
    if (shifted) return card.rate(Number(event.code.slice(5))), true;
    if (/^[0-9]$/.test(key)) return card.pair ? choose(card, key) : digit(key, card), true;
    if (key === "x") return card.pair ? choose(card, "x") : card.toggle("all_bad") && remark(page), true;
    if (key === "f") return openMenu(page, ".flags"), true;
    const steps = { ArrowUp: -1, ArrowDown: 1, ArrowLeft: -1, ArrowRight: 1 };
    const sideways = target.matches("input[type=radio], pre, .math, table"); // these have a use for left and right themselves
    if (key in steps && !(sideways && /Left|Right/.test(key))) return card.move(steps[key]), true;
    return false;
  }

  listenToLabelingKeys(page, current, actions, act);
}
