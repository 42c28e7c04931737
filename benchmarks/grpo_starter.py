"""GRPO on the starter model: sums answered with the equation and nothing else; held-out rewards before and after.

BENCH_MODEL=/folder python -m benchmarks grpo_starter     # goal: held-out reward rises, in ≤ 15 minutes on 2 cores
BENCH_STEPS=24 BENCH_RUN=/folder/to/keep/the/run …

`math` is 1 where the sum is right, `regex` where the answer is an equation alone, `exact` where it is the right one:
that is never rewarded by itself. No pair of numbers of a held-out problem, in either order, is in training.
"""

import json
import os
import random
import sys
import tempfile
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Any

from benchmarks.prm_peer import starting_model
from training import step_metrics
from training.provingground.runs import train

STEPS = int(os.environ.get("BENCH_STEPS", 24))
HELD_OUT, SAMPLES, MOST = 48, 4, 19
EQUATION = r"\d+ \+ \d+ = \d+"
REWARDS = f'math 1; regex 0.5 pattern="{EQUATION}" whole=true'
SETTINGS: dict[str, Any] = {"max_steps": STEPS, "num_generations": 8, "max_completion_length": 20, "max_length": 128}
SETTINGS |= {"per_device_train_batch_size": 32, "gradient_accumulation_steps": 2, "learning_rate": 3e-4}
SETTINGS |= {"lora_layers": 8, "temperature": 0.8, "beta": 0.0, "lr_scheduler_type": "linear", "warmup_ratio": 0.05}
SETTINGS |= {"rewards": REWARDS, "seed": 1, "save_steps": 0}


def main() -> None:
    start, (rows, held_out) = starting_model(), problems()
    with tempfile.TemporaryDirectory() as name:
        run_dir = Path(os.environ.get("BENCH_RUN", name)) / "run"
        before = measured(start, held_out)
        print(f"before: {before}", file=sys.stderr, flush=True)
        model = train("grpo", run_dir, start, rows, [], say, **SETTINGS)
        after = measured(model, held_out)
        result = json.loads((run_dir / "result.json").read_text())
        curve = [line["values"]["reward"] for line in lines(run_dir) if "reward" in line["values"]]
    drawn = STEPS * SETTINGS["per_device_train_batch_size"] * SETTINGS["gradient_accumulation_steps"]
    told = {"problems": len(rows), "held_out": len(held_out), "samples": SAMPLES, "completions": drawn}
    told |= {"seconds": round(result["seconds"]), "before": before, "after": after, "settings": SETTINGS}
    print(json.dumps({"benchmark": "grpo_starter", "model": start.name, **told, "curve": in_ten(curve)}))


def problems() -> tuple[list[dict], list[dict]]:
    """Sums of two numbers, to train on and held out; both orders of a pair are on the same side."""
    pairs = list(combinations_with_replacement(range(1, MOST + 1), 2))
    random.Random(0).shuffle(pairs)
    held_out, rest = pairs[:HELD_OUT], pairs[HELD_OUT:]
    return [row(a, b) for pair in rest for a, b in sorted({pair, pair[::-1]})], [row(a, b) for a, b in held_out]


def row(a: int, b: int) -> dict:
    asked = f"What is {a} + {b}? Answer with the equation."
    return {"prompt": [{"role": "user", "content": asked}], "reference": str(a + b), "equation": f"{a} + {b} = {a + b}"}


def measured(model: Path, rows: list[dict]) -> dict[str, list[float]]:
    """Every part of the reward on sampled answers, each a mean with its 95 % interval over problems."""
    from training import rewards

    said = answers(model, rows)
    flat = [(row, text) for row, texts in zip(rows, said, strict=True) for text in texts]
    spoken = [[{"role": "assistant", "content": text}] for _, text in flat]
    scores = rewards.Mix(rewards.parse(REWARDS))(
        [row["prompt"] for row, _ in flat], spoken, reference=[row["reference"] for row, _ in flat]
    )
    found = {"reward": [score.total for score in scores]}
    found |= {name: [score.parts[name] for score in scores] for name in scores[0].parts}
    found["exact"] = [float(text.strip() == row["equation"]) for row, text in flat]
    return {name: over_problems(values) for name, values in found.items()}


def over_problems(values: list[float]) -> list[float]:
    means = [step_metrics.mean(values[at : at + SAMPLES]) for at in range(0, len(values), SAMPLES)]
    return [round(value, 3) for value in step_metrics.bootstrap(means, step_metrics.mean)]


def answers(model: Path, rows: list[dict]) -> list[list[str]]:
    """Drawn as the training draws them, with a chance of their own."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from training.recipes.chat import Chat
    from training.recipes.generate import draw
    from training.server.loading import end_tokens

    network, chat = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval(), Chat(str(model))
    tokenizer = AutoTokenizer.from_pretrained(model)
    prompts = [chat.tokens(row["prompt"], add_generation_prompt=True) for row in rows]
    options = {"max_tokens": SETTINGS["max_completion_length"], "temperature": SETTINGS["temperature"]}
    chance = torch.Generator().manual_seed(2)
    groups = draw(network, prompts, SAMPLES, eos=end_tokens(network, tokenizer), generator=chance, **options)
    return [[tokenizer.decode(one.tokens, skip_special_tokens=True) for one in group] for group in groups]


def lines(run_dir: Path) -> list[dict]:
    return [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]


def in_ten(values: list[float]) -> list[float]:
    """Means of ten parts of a run, or fewer."""
    size = max(1, -(-len(values) // 10))
    return [round(step_metrics.mean(values[at : at + size]), 3) for at in range(0, len(values), size)]


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
