"""How much of a step of GRPO and PPO is not the model's: reward calls, tokenising, data, logging, Python.

BENCH_MODEL=/folder python -m benchmarks rl_overhead      # goal: ≤ 10 %; the starter model, rewards math and format

The model's are drawing completions, passing them forward and backward, and the optimiser's update. The recipes tell it
themselves, as they do on every run's page. Seconds are the clock's: work beside it slows both shares alike.
"""

import json
import os
import random
import statistics
import sys
import tempfile
from pathlib import Path

from benchmarks.prm_peer import starting_model
from training.provingground.runs import train

STEPS = int(os.environ.get("BENCH_STEPS", 4))
REWARDS = "math 1; format 0.2"
SAME = {"rewards": REWARDS, "max_steps": STEPS, "num_generations": 8, "max_completion_length": 48, "max_length": 256}
SAME |= {"per_device_train_batch_size": 8, "gradient_accumulation_steps": 4, "learning_rate": 5e-5, "save_steps": 0}
MODEL = ("time/draw", "time/learn")


def main() -> None:
    start = starting_model()
    with tempfile.TemporaryDirectory() as folder:
        found = {recipe: measure(recipe, Path(folder) / recipe, start) for recipe in ("grpo", "ppo")}
    print(json.dumps({"benchmark": "rl_overhead", "completions": 32, "rewards": REWARDS, **found}))


def measure(recipe: str, run_dir: Path, start: Path) -> dict[str, float]:
    """Of the steps after the first, which warms up."""
    train(recipe, run_dir, start, list(sums(64, 1)), [], lambda line: print(line, file=sys.stderr, flush=True), **SAME)
    lines = [json.loads(line)["values"] for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    steps = [values for values in lines if "loss" in values][1:]
    shares = [1 - sum(values[name] for name in MODEL) / values["seconds_per_step"] for values in steps]
    times = {name[5:]: statistics.mean(values[name] for values in steps) for name in steps[0] if name[:5] == "time/"}
    return {"outside": round(statistics.mean(shares), 4), "seconds": {name: round(s, 3) for name, s in times.items()}}


def sums(count: int, seed: int):
    chance = random.Random(seed)
    for _ in range(count):
        a, b = chance.randrange(2, 10), chance.randrange(2, 10)
        asked = f"What is {a} + {b}? Answer with the equation."
        yield {"prompt": [{"role": "user", "content": asked}], "reference": str(a + b)}


if __name__ == "__main__":
    main()
