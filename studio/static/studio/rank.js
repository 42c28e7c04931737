// The ranking page.
import { start } from "./label.js";
import { Card } from "./rank_card.js";
import { listenToKeys } from "./rank_keys.js";

start(Card, listenToKeys);
