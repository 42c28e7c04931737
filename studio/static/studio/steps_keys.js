// Keys of the step page, the same the controls print.
import { listenToLabelingKeys, openMenu } from "./label_keys.js";

const RATINGS = { 1: "-1", 2: "0", 3: "1", 0: "" };

export function listenToKeys(page, current, actions) {
  function act(event, card) {
    const { key, target } = event;
    if (!card) return false;
    if (key in RATINGS) return card.mark(RATINGS[key]), true;
    if (key === "ArrowUp" || key === "ArrowDown") return card.move(key === "ArrowUp" ? -1 : 1), true;
    if (key === "n") return card.toNextUnmarked(), true;
    if (key === "m") return card.markRest(), true;
    if (key === "a") return card.accept(), true;
    if (key === "A") return card.acceptRest(), true;
    if (key === "f") return card.flag(), true;
    if (key === "e") return card.rewrite(), true;
    if (key === "r") return card.showReference(), true;
    if (key === "b") return openMenu(page, ".bad-problem"), true;
    if (key === "q") return openMenu(page, ".give-up"), true;
    return key === "Enter" && target.matches("input[type=checkbox], input[type=radio]") ? (actions.submit(), true) : false;
  }

  listenToLabelingKeys(page, current, actions, act);
}
