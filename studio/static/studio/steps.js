// The step page.
import { start } from "./label.js";
import { Card } from "./steps_card.js";
import { listenToKeys } from "./steps_keys.js";

start(Card, listenToKeys);
