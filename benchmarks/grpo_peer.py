"""GRPO with our trainer against TRL's own in this environment: the same model, prompts, reward and settings, in turns.

BENCH_MODEL=/folder BENCH_LAYERS=4 python -m benchmarks grpo_peer   # goals: ≥ 1.5 × its samples/s, ours_auto ≥ 2.5 ×

`update` is all of a step but drawing, `peak` is in GB. Seconds of CPU hold on a busy machine too; BENCH_LAYERS keeps
the model's first layers only.
"""

import json
import os
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.ppo_peer import make_models, prompts
from benchmarks.prm_peer import run, starting_model, write_rows

LAYERS = int(os.environ.get("BENCH_LAYERS", 0))
STEPS = int(os.environ.get("BENCH_STEPS", 4))
RUNS = int(os.environ.get("BENCH_RUNS", 3))
GROUP, LENGTH = 8, 48
ARMS = {"ours": "fp32", "ours_auto": "auto"}
SAME = {"learning_rate": 1e-5, "per_device_train_batch_size": 8, "gradient_accumulation_steps": 4, "seed": 1}
SAME |= {"num_generations": GROUP, "max_completion_length": LENGTH, "beta": 0.04, "temperature": 1.0}


def main() -> None:
    if len(sys.argv) > 1:
        return print(json.dumps(stock(Path(sys.argv[1]))))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_models(starting_model(), folder)
        found = [{arm: by_us(folder, arm, n) for arm in ARMS} | {"trl": by_trl(folder)} for n in range(RUNS)]
    told: dict[str, Any] = {"layers": LAYERS or "all", "steps": STEPS, "completions": 32, "runs": RUNS}
    for what in ("seconds", "update", "cpu", "peak"):
        value = {arm: statistics.median(run[arm][what] for run in found) for arm in found[0]}
        told[what] = {arm: round(one, 2) for arm, one in value.items()}
        told[f"times_{what}"] = {arm: round(value["trl"] / value[arm], 2) for arm in ARMS}
    print(json.dumps({"benchmark": "grpo_peer", **told}))


def by_trl(folder: Path) -> dict[str, float]:
    return json.loads(run([sys.executable, "-m", "benchmarks", "grpo_peer", str(folder)]).splitlines()[-1])


def by_us(folder: Path, arm: str, number: int) -> dict[str, float]:
    run_dir = folder / f"{arm}-{number}"
    write_rows(run_dir / "dataset" / "train.jsonl", prompts())
    write_rows(run_dir / "dataset" / "eval.jsonl", [])
    settings = SAME | {"rewards": "length -0.01 unit=characters", "max_steps": STEPS, "max_length": 256, "lora": False}
    settings |= {"precision": ARMS[arm], "gradient_checkpointing": "off", "save_steps": 0, "sample_every": 0}
    config = {"recipe": "grpo", "base_model": str(folder / "policy"), "device": "cpu", "settings": settings}
    (run_dir / "config.json").write_text(json.dumps(config))
    run([sys.executable, "-m", "training.recipes.grpo", str(run_dir)])
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    steps = [line["values"] for line in lines if "loss" in line["values"]][1:]
    each = [(one["seconds_per_step"], one["time/draw"], one["cpu_percent"] / 100) for one in steps]
    return {
        "seconds": statistics.median(taken for taken, *_ in each),
        "update": statistics.median(taken - drawing for taken, drawing, _ in each),
        "cpu": statistics.median(taken * busy for taken, _, busy in each),
        "peak": json.loads((run_dir / "result.json").read_text())["peak_memory"] / 1e9,
    }


def stock(folder: Path) -> dict[str, float]:
    """TRL's trainer, nothing of ours."""
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    ends: list[tuple[float, float, float]] = []
    drawing = [0.0]

    class Watch(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            ends.append((time.time(), time.process_time(), drawing[0]))

    class Timed(GRPOTrainer):
        def _generate(self, *args: Any, **options: Any) -> Any:
            began = time.time()
            made = super()._generate(*args, **options)
            drawing[0] += time.time() - began
            return made

    same = SAME | {"bf16": False, "use_cpu": True, "gradient_checkpointing": False, "max_steps": STEPS}
    same |= {"save_strategy": "no", "dataloader_pin_memory": False, "report_to": "none", "disable_tqdm": True}
    trainer = Timed(
        AutoModelForCausalLM.from_pretrained(folder / "policy"),
        reward_funcs=[lambda completions, **_: [-0.01 * len(one[0]["content"]) for one in completions]],
        args=GRPOConfig(output_dir=str(folder / "stock"), **same),
        train_dataset=Dataset.from_list(prompts()),
        processing_class=AutoTokenizer.from_pretrained(folder / "policy"),
        callbacks=[Watch()],
    )
    trainer.train()
    steps = [[b - a for a, b in zip(one, other, strict=True)] for one, other in zip(ends, ends[1:], strict=False)]
    return {
        "seconds": statistics.median(taken for taken, *_ in steps),
        "update": statistics.median(taken - drawn for taken, _, drawn in steps),
        "cpu": statistics.median(used for _, used, _ in steps),
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,
    }


if __name__ == "__main__":
    main()
