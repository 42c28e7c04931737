"""Before a launch: what would be dropped or cut and why, whether the chat template fits, and what the run will cost.

python -m training.recipes.preflight RUN_DIR        writes RUN_DIR/preflight.json; imports no torch
"""

import sys
from collections import Counter
from pathlib import Path
from typing import Any

from training.recipes import recipe, rows, source_of
from training.recipes.chat import Chat
from training.recipes.config import BadConfig, read
from training.recipes.estimate import estimate
from training.recipes.learned import unmet
from training.recipes.run import read_config, write_json
from training.recipes.watching import unmet_gold

BINS = 20
FEW = 20  # rows below which a result says little
QUANTILES = {"min": 0.0, "median": 0.5, "p95": 0.95, "max": 1.0}


def preflight(run_dir: Path) -> dict[str, Any]:
    """{"ok", "errors", "warnings", "rows", "lengths", "estimate", "examples"} for what lies in `run_dir`."""
    report: dict[str, Any] = {"errors": [], "warnings": [], "rows": {}, "lengths": {}, "estimate": {}, "examples": []}
    try:
        inspect(run_dir, report)
    except (BadConfig, rows.BadData) as error:
        report["errors"] = list(dict.fromkeys([*report["errors"], str(error)]))
    return {"ok": not report["errors"]} | report


def inspect(run_dir: Path, report: dict[str, Any]) -> None:
    said = read_config(run_dir)
    module = find_recipe(said["recipe"])
    config = read(module.Config, said["settings"])
    report["errors"] += module.problems(config)
    reads_rewards = module.DATA == "prompts" and not report["errors"]
    chat, source = Chat(said["base_model"]), source_of(module.DATA)
    split = {name: source.load(run_dir / "dataset" / f"{name}.jsonl", module.DATA) for name in ("train", "eval")}
    kept = {name: source.keep(part, chat, config) for name, part in split.items()}
    report["rows"] = {name: count(split[name], kept[name]) for name in split}
    report["lengths"] = lengths(kept["train"].sizes)
    counted(report, source, config.max_length)
    report["warnings"] += [*source.about_rows(split), *leaks(split)]
    if reads_rewards:
        report["errors"] += unmet(config.rewards, said.get("models", {}), split["train"])
        report["errors"] += unmet_gold(config, said.get("models", {}), kept["eval"].rows)
    if split["train"]:
        errors, warnings = source.template_fits(split["train"], chat)
        report["errors"] += errors
        report["warnings"] += warnings
        report["examples"] = [source.shown(split["train"][0], chat, config)]
    if kept["train"].rows and not report["errors"]:
        report["estimate"] = estimate(said, config, module, kept["train"], kept["eval"])
        costs_too_much(report)


def find_recipe(name: str) -> Any:
    try:
        return recipe(name)
    except KeyError:
        raise BadConfig(f"there is no recipe {name!r}") from None


def count(part: list[rows.Row], kept: rows.Kept) -> dict[str, int]:
    found = {"rows": len(part), "kept": len(kept.rows), "dropped": kept.dropped, "cut": kept.cut}
    return found | {name: n for name in ("windowed", "unlabeled") if (n := getattr(kept, name))}


def counted(report: dict[str, Any], source: Any, max_length: int) -> None:
    """What max_length and the split leave to train on, in words."""
    train, held_out = report["rows"]["train"], report["rows"]["eval"]
    for name, part in report["rows"].items():
        for what, words in source.LEFT_OUT.items():
            if part.get(what):
                text = f"{part[what]} of {part['rows']} rows of {name}.jsonl {words.format(max_length=max_length)}"
                report["warnings"].append(text)
    if not train["kept"]:
        report["errors"].append("train.jsonl leaves no row to train on" + "; raise max_length" * bool(train["dropped"]))
    elif train["kept"] < FEW:
        report["warnings"].append(f"{train['kept']} rows to train on are few; expect little, and no steady accuracy")
    if not held_out["kept"]:
        report["warnings"].append("no held-out rows: nothing will tell learning from memorising")


def lengths(sizes: list[dict[str, int]]) -> dict[str, Any]:
    """Tokens of prompts, and of prompts with each side: a histogram and the usual quantiles."""
    sides = sizes[0] if sizes else {}
    return {side: histogram([size[side] for size in sizes]) for side in sides}


def histogram(values: list[int]) -> dict[str, Any]:
    ordered, width = sorted(values), max(1, -(-max(values) // BINS))
    bins = Counter(value // width for value in values)
    at = {name: ordered[min(len(ordered) - 1, int(share * len(ordered)))] for name, share in QUANTILES.items()}
    counts = [bins[index] for index in range(ordered[-1] // width + 1)]
    return {"bin_width": width, "counts": counts, "mean": sum(values) / len(values), **at}


def leaks(split: dict[str, list[rows.Row]]) -> list[str]:
    """Prompts on both sides of the split: held-out results would flatter."""
    train, held_out = ({str(row["prompt"]) for row in split[name]} for name in ("train", "eval"))
    shared = len(train & held_out)
    return [f"{shared} prompts are in train.jsonl and in eval.jsonl; held-out results would flatter"] if shared else []


def costs_too_much(report: dict[str, Any]) -> None:
    found = report["estimate"]
    if found["memory_bytes"] > found["memory_available_bytes"]:
        need, have = (found[name] / 1e9 for name in ("memory_bytes", "memory_available_bytes"))
        report["warnings"].append(f"about {need:.1f} GB of memory are needed and {have:.1f} GB are free")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: python -m training.recipes.preflight RUN_DIR")
    folder = Path(sys.argv[1]).resolve()
    found = preflight(folder)
    write_json(folder / "preflight.json", found)
    for kind in ("errors", "warnings"):
        for text in found[kind]:
            print(f"{kind[:-1]}: {text}")
    sys.exit(0 if found["ok"] else 1)
