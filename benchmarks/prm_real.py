"""A process reward model on real traces: ProcessBench's F1 on held-out problems, against what knows nothing.

BENCH_DATA=/folder/of/bigbench-mistake python -m benchmarks prm_real       # the starter model of STUDIO_HOME
BENCH_MODEL=/folder BENCH_LIMIT=60 BENCH_SET=num_train_epochs=2 BENCH_DATA=… python -m benchmarks prm_real

BIG-Bench Mistake (Tyen et al. 2024): arithmetic in several steps, and balls that change hands, with the index of the
first mistake. Steps before it are good, it is bad, what follows is not labeled. Problems are dealt to training, to the
choice of a threshold, and to the test, by a hash of their text.
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.prm_peer import SPINLESS, starting_model, write_rows
from training.recipes import recipe
from training.recipes.config import describe, from_text
from training.step_metrics import best_threshold, bootstrap, calibration, first_error, first_error_f1, processbench

TASKS = ("multistep_arithmetic", "tracking_shuffled_objects")
LIMIT = int(os.environ.get("BENCH_LIMIT", 300))  # traces of each task
SETTINGS = {
    **{"lora_layers": 8, "learning_rate": 7e-4, "num_train_epochs": 4.0, "per_device_train_batch_size": 8},
    **{"save_steps": 0, "eval_steps": 0, "logging_steps": 5, "step_separator": "\n\n", "max_length": 1024},
}


def main() -> None:
    model, rows = starting_model(), deal(list(read(data_folder())))
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        trained = train(model, Path(folder) / "run", rows)
        seconds = time.monotonic() - began
        print(
            json.dumps(
                {
                    "benchmark": "prm_real",
                    "model": model.name,
                    "train_s": round(seconds),
                    **figures(trained, model, rows),
                }
            )
        )


def data_folder() -> Path:
    folder = Path(os.environ.get("BENCH_DATA", ""))
    if not (folder / f"{TASKS[0]}.jsonl").is_file():
        raise SystemExit("Set BENCH_DATA to a folder with bigbench-mistake's multistep_arithmetic.jsonl.")
    return folder


def read(folder: Path):
    """Rows of stepwise shape, each with its task and the index of its first mistake."""
    for task in TASKS:
        for line in (folder / f"{task}.jsonl").read_text().splitlines()[:LIMIT]:
            row = json.loads(line)
            first, steps = row["mistake_index"], row["steps"]
            labels = [
                True if first is None or at < first else False if at == first else None for at in range(len(steps))
            ]
            prompt = [{"role": "user", "content": row["input"]}]
            yield {"prompt": prompt, "completions": steps, "labels": labels, "task": task, "first": first}


def deal(rows: list[dict]) -> dict[str, list[dict]]:
    """55 % to train on, 15 % to choose a threshold on, 30 % to report on: by problem, so that none is on two sides."""
    found: dict[str, list[dict]] = {"train": [], "choose": [], "test": []}
    for row in rows:
        place = int(hashlib.sha256(row["prompt"][0]["content"].encode()).hexdigest(), 16) % 20
        found["train" if place < 11 else "choose" if place < 14 else "test"].append(row)
    return found


def train(model: Path, folder: Path, rows: dict[str, list[dict]]) -> Path:
    write_rows(folder / "dataset" / "train.jsonl", rows["train"])
    write_rows(folder / "dataset" / "eval.jsonl", rows["choose"])
    config = {"recipe": "prm", "base_model": str(model), "settings": SETTINGS | asked(), "versions": {}}
    (folder / "config.json").write_text(json.dumps(config))
    with (folder / "log.txt").open("w") as log:
        command = [sys.executable, "-m", "training.recipes.prm", str(folder)]
        subprocess.run(command, env=os.environ | SPINLESS, stdout=log, stderr=subprocess.STDOUT, check=True)
    return folder / "model"


def asked() -> dict:
    """Settings from BENCH_SET, as `studio train --set` reads them: NAME=VALUE, separated by commas."""
    fields = {field["name"]: field for field in describe(recipe("prm").Config)}
    pairs = (pair.partition("=") for pair in os.environ.get("BENCH_SET", "").split(",") if pair)
    return {name: from_text(fields[name], value) for name, _, value in pairs}


def figures(trained: Path, model: Path, rows: dict[str, list[dict]]) -> dict:
    """ProcessBench on the test problems, with a 95 % interval over problems; the untrained model's head is random."""
    kinds = {"trained": trained, "untrained": model}
    scores = {name: {part: score(folder, rows[part]) for part in ("choose", "test")} for name, folder in kinds.items()}
    test, found = rows["test"], {}
    for name in kinds:
        at = best_threshold(scores[name]["choose"], [row["first"] for row in rows["choose"]])
        found[name] = report(scores[name]["test"], test, at) | {"threshold": at}
    found["always_none"] = bench([(row["first"], None) for row in test])
    probs = [p for trace in scores["trained"]["test"] for p in trace]
    labels = [label for row in test for label in row["labels"]]
    counts = {"traces": {name: len(part) for name, part in rows.items()}}
    counts |= {"test_right": sum(row["first"] is None for row in test)}
    return {**found, "calibration_error": round(calibration(probs, labels)["ece"], 3), **counts}


def report(scores: list[list[float]], rows: list[dict], threshold: float) -> dict:
    pairs = [(row["first"], first_error(trace, threshold)) for row, trace in zip(rows, scores, strict=True)]
    tasks = {
        task: bench([pair for pair, row in zip(pairs, rows, strict=True) if row["task"] == task]) for task in TASKS
    }
    return bench(pairs) | tasks


def bench(pairs: list[tuple]) -> dict:
    found = {name: value and round(value, 3) for name, value in processbench(*zip(*pairs, strict=True)).items()}
    _, low, high = bootstrap(pairs, lambda drawn: first_error_f1(*zip(*drawn, strict=True)))
    return found | {"f1_interval": [round(low, 3), round(high, 3)]}


def score(folder: Path, rows: list[dict]) -> list[list[float]]:
    """Probabilities of every step, by the functions the model server uses, in the precision training chose."""
    import torch
    from transformers.utils.logging import disable_progress_bar

    from training.recipes import machine, weights
    from training.recipes.chat import Chat
    from training.recipes.steps import by_window, collate, head_of, length_batches, log_odds, trace_windows

    disable_progress_bar()
    torch.manual_seed(0)
    chat, network = Chat(str(folder)), weights.load_step_scorer(str(folder), "float32").eval()
    if not head_of(network).weight.any():
        torch.nn.init.normal_(head_of(network).weight, std=0.02)
    separator, longest = SETTINGS["step_separator"], SETTINGS["max_length"]
    parts = [trace_windows(chat, row["prompt"], row["completions"], separator, longest)[0] for row in rows]
    found: list[list[float]] = [[] for _ in parts]
    for batch in length_batches([len(part) for part in parts], 8192):
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=machine.cpu_has_bf16()):
            odds = log_odds(network, **collate([parts[at] for at in batch], 0)).sigmoid().tolist()
        for at, probs in zip(batch, by_window(odds, [parts[at] for at in batch]), strict=True):
            found[at] = probs
    return found


if __name__ == "__main__":
    main()
