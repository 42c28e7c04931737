"""A recipe small enough for a test to run in a second: a reward model of words, by the run directory's contract.

Bradley–Terry on word counts: r(y) = Σ_w weight[w]·count(w in y), trained by gradient steps on −log σ(r_c − r_r).
Data: pairs {"prompt": messages, "chosen": messages, "rejected": messages}
"""

import json
import os
import struct
import time
from collections import Counter
from dataclasses import dataclass
from math import exp, log
from pathlib import Path
from typing import Annotated

from training.recipes.rows import load
from training.recipes.run import Run, Stop, main, numbers, write_json

DATA = "pairs"
MAKES = "reward_model"


@dataclass
class Config:
    learning_rate: Annotated[float, "size of a gradient step"] = 0.1
    max_steps: Annotated[int, "gradient steps"] = 20
    loading: Annotated[float, "seconds until the first step"] = 0.0
    save_steps: Annotated[int, "steps between checkpoints; 0: none"] = 5
    pause: Annotated[float, "seconds to rest after each step"] = 0.0
    fail: Annotated[str, "how to go wrong at the third step: raise, exit, kill or nan"] = ""
    padding: Annotated[int, "bytes of ballast in each checkpoint"] = 0


PRESETS = {"smoke": {"max_steps": 3}, "small": {}, "full": {}}


def problems(config: Config) -> list[str]:
    return [] if config.learning_rate > 0 else [f"learning_rate must be above 0, not {config.learning_rate}"]


def train(config: Config, run_dir: Path) -> None:
    run = Run(run_dir, config)
    rows = load(run_dir / "dataset" / "train.jsonl", DATA)
    step, weights = restored(run.checkpoints)
    with (run_dir / "starts.txt").open("a") as starts:  # who trained here, and from which step
        starts.write(f"{os.getpid()} {step}\n")
    time.sleep(config.loading)
    Stop.first_step()
    while step < config.max_steps and not Stop.asked:
        loss, right = gradient_step(rows, weights, config.learning_rate)
        step += 1
        go_wrong(config.fail, step)
        values = numbers({"loss": float("nan") if config.fail == "nan" and step > 2 else loss, "accuracy": right})
        run.metrics(step, config.max_steps, config.pause * (config.max_steps - step), values)
        if config.save_steps and (step % config.save_steps == 0 or Stop.asked):
            keep(run.checkpoints, step, weights, config.padding)
        time.sleep(config.pause)
    if Stop.asked:
        keep(run.checkpoints, step, weights, config.padding)
    sample = {"step": step, "prompt": rows[0]["prompt"], "completion": rows[0]["chosen"][0]["content"], "reward": 1.0}
    run.append("samples.jsonl", sample)
    save(run_dir / "model", weights)
    status = "stopped" if step < config.max_steps else "succeeded"
    run.result(status, step=step, total=config.max_steps, metrics={"loss": loss, "accuracy": right}, device="cpu")


def words(messages: list[dict]) -> Counter:
    return Counter(messages[-1]["content"].lower().split())


def gradient_step(rows: list[dict], weights: dict[str, float], rate: float) -> tuple[float, float]:
    loss = right = 0.0
    for row in rows:
        apart = words(row["chosen"])
        apart.subtract(words(row["rejected"]))
        margin = sum(weights.get(word, 0.0) * count for word, count in apart.items())
        loss += log(1 + exp(-margin)) / len(rows)
        right += (margin > 0) / len(rows)
        for word, count in apart.items():
            weights[word] = weights.get(word, 0.0) + rate * count / (1 + exp(margin))
    return loss, right


def restored(checkpoints: Path) -> tuple[int, dict[str, float]]:
    found = sorted(checkpoints.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    return (int(found[-1].name.split("-")[1]), json.loads((found[-1] / "w.json").read_text())) if found else (0, {})


def keep(checkpoints: Path, step: int, weights: dict[str, float], padding: int) -> None:
    partial = checkpoints / ".partial"
    partial.mkdir(parents=True, exist_ok=True)
    (partial / "ballast").write_bytes(b"0" * padding)
    write_json(partial / "w.json", weights)
    if not (checkpoints / f"checkpoint-{step}").exists():
        partial.rename(checkpoints / f"checkpoint-{step}")


def save(folder: Path, weights: dict[str, float]) -> None:
    """One float32 tensor in a safetensors file: 8 bytes of length, the header, the numbers."""
    folder.mkdir(exist_ok=True)
    names = sorted(weights)
    data = struct.pack(f"<{len(names)}f", *(weights[name] for name in names))
    header = json.dumps({"weights": {"dtype": "F32", "shape": [len(names)], "data_offsets": [0, len(data)]}}).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + data)
    (folder / "config.json").write_text(json.dumps({"model_type": "words"}))
    (folder / "tokenizer.json").write_text(json.dumps(names))
    (folder / "README.md").write_text("# Words\n")


def go_wrong(how: str, step: int) -> None:
    if how == "raise" and step == 3:
        raise RuntimeError("the third step is not for me")
    if how == "exit" and step == 3:
        os._exit(3)
    if how == "kill" and step == 3:
        os.kill(os.getpid(), 9)


if __name__ == "__main__":
    main(Config, problems, train)
