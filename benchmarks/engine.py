"""DPO and reward models by our recipes and by TRL's own trainers: the same rows, model and batches, in turns.

python -m benchmarks engine  # goals: DPO ≥ 3 × trl, ≥ 2 × trl_best; rewards ≥ 2 ×; ours_auto ≥ 6 × and ≥ 4 × trl
BENCH_MODEL=/folder BENCH_PAIRS=/pairs.json BENCH_RECIPES=dpo BENCH_LAYERS=6 BENCH_RUNS=3 BENCH_ROWS=16 … engine

BENCH_PAIRS is a file of ShareGPT pairs (conversations, chosen, rejected); without it the pairs are the demo's. `trl` is
its trainer as it comes, `trl_best` with recomputation off and the reference computed before. All weights learn. A
reference that is computed before counts as far as its pairs are trained on. `ours_again` is DPO on pairs that an
earlier run trained on: it finds the reference in the cache that `ours_auto` left. `of_matmul`: how much of the rate of
the machine's matrix products in fp32 ours reached, counting what it cannot leave out: each token of a pair once,
forward and back, and the head where it is read.
"""

import json
import os
import re
import resource
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.prm_peer import run, starting_model, write_rows

LAYERS = int(os.environ.get("BENCH_LAYERS", 0))  # 0: all
RUNS = int(os.environ.get("BENCH_RUNS", 3))
ROWS = int(os.environ.get("BENCH_ROWS", 16))
BATCH = int(os.environ.get("BENCH_BATCH", 4))
LENGTH = int(os.environ.get("BENCH_LENGTH", 1024))
RECIPES = os.environ.get("BENCH_RECIPES", "dpo,reward_model").split(",")
SAME = {"learning_rate": 1e-6, "per_device_train_batch_size": BATCH, "max_length": LENGTH, "seed": 1}
SAME |= {"lr_scheduler_type": "linear", "weight_decay": 0.0, "max_grad_norm": 1.0}
DEMO = Path(__file__).parents[1] / "annotation" / "demo"
ROLES = {"human": "user", "gpt": "assistant", "system": "system"}
SIDES = ("chosen", "rejected")
ARMS = {"ours": "fp32", "ours_auto": "auto", "ours_again": "auto", "trl": "fp32", "trl_best": "fp32"}


def main() -> None:
    if len(sys.argv) > 1:
        return print(json.dumps(stock(sys.argv[1], sys.argv[2], Path(sys.argv[3]))))
    for recipe in RECIPES:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            prepare(folder, recipe)
            found = [{arm: measure(recipe, arm, folder, n) for arm in arms(recipe)} for n in range(RUNS)]
            print(json.dumps({"benchmark": "engine", "recipe": recipe} | figures(found, folder, recipe)), flush=True)


def arms(recipe: str) -> list[str]:
    return [arm for arm in ARMS if recipe == "dpo" or arm != "ours_again"]  # a reward model has no reference


def prepare(folder: Path, recipe: str) -> None:
    """The model, of as many layers as are wanted, and the pairs that fit."""
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

    torch.manual_seed(0)
    kept, start = {"num_hidden_layers": LAYERS} if LAYERS else {}, starting_model()
    tokenizer = AutoTokenizer.from_pretrained(start)
    if recipe == "dpo":
        model = AutoModelForCausalLM.from_pretrained(start, dtype=torch.float32, **kept)
    else:
        model = AutoModelForSequenceClassification.from_pretrained(start, dtype=torch.float32, num_labels=1, **kept)
        torch.nn.init.normal_(model.score.weight, std=0.02)
        model.config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    rows = [pair for pair in pairs() if longest(tokenizer, pair) <= LENGTH][:ROWS]
    write_rows(folder / "dataset" / "train.jsonl", rows)
    write_rows(folder / "dataset" / "eval.jsonl", [])


def pairs() -> Iterator[dict]:
    if path := os.environ.get("BENCH_PAIRS"):
        for row in json.loads(Path(path).read_text()):
            prompt = [{"role": ROLES[turn["from"]], "content": turn["value"]} for turn in row["conversations"]]
            yield {"prompt": prompt} | {side: says(row[side]["value"]) for side in ("chosen", "rejected")}
        return
    asked = {row["id"]: row["messages"] for row in lines("prompts")}
    said = {(row["id"], row["setting"]): row["text"] for row in lines("completions")}
    for row in lines("rankings"):
        best, *_, worst = sorted(row["ranks"], key=row["ranks"].get)
        if row["ranks"][best] < row["ranks"][worst]:
            sides = {"chosen": best, "rejected": worst}
            texts = {side: says(said[row["id"], setting]) for side, setting in sides.items()}
            yield {"prompt": asked[row["id"]]} | texts


def lines(name: str) -> list[dict]:
    return [json.loads(line) for line in (DEMO / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


def says(text: str) -> list[dict]:
    return [{"role": "assistant", "content": text}]


def longest(tokenizer: Any, pair: dict) -> int:
    return max(len(tokenizer.apply_chat_template(pair["prompt"] + pair[side])["input_ids"]) for side in SIDES)


def measure(recipe: str, arm: str, folder: Path, number: int) -> dict:
    """A training of one pass over the pairs, in a process of its own."""
    if not arm.startswith("ours"):
        return json.loads(
            run([sys.executable, "-m", "benchmarks", "engine", recipe, arm, str(folder)]).splitlines()[-1]
        )
    run_dir = folder / f"{arm}-{recipe}-{number}"
    shutil.copytree(folder / "dataset", run_dir / "dataset")
    settings = SAME | {"lora": False, "precision": ARMS[arm], "save_steps": 0, "num_train_epochs": 1}
    settings["warmup_ratio"] = 0.0
    config = {"recipe": recipe, "base_model": str(folder / "model"), "device": "cpu", "settings": settings}
    (run_dir / "config.json").write_text(json.dumps(config))
    known = "ours_auto" if arm == "ours_again" else arm  # else nothing of an earlier run is to be found
    cache = str(folder / f"cache-{known}-{number}")
    told = run([sys.executable, "-m", f"training.recipes.{recipe}", str(run_dir)], STUDIO_CACHE=cache)
    steps = [line["values"] for line in metrics(run_dir) if "loss" in line["values"]]
    seconds = [values["seconds_per_step"] for values in steps]
    return {
        "seconds": seconds,
        "cpu": [values["cpu_percent"] / 100 * taken for values, taken in zip(steps, seconds, strict=True)],
        "reference": sum(map(float, re.findall(r"the others were known; ([0-9.]+) s", told))),
        "losses": [values["loss"] for values in steps],
        "peak": json.loads((run_dir / "result.json").read_text())["peak_memory"],
    }


def metrics(run_dir: Path) -> list[dict]:
    return [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]


def stock(recipe: str, arm: str, folder: Path) -> dict:
    """The same by TRL, nothing of ours."""
    from datasets import load_dataset
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer, TrainerCallback
    from trl import DPOConfig, DPOTrainer, RewardConfig, RewardTrainer

    ends: list[tuple[float, float]] = []

    class Watch(TrainerCallback):
        def on_train_begin(self, *_: Any, **__: Any) -> None:
            ends.append((time.time(), time.process_time()))

        def on_step_end(self, *_: Any, **__: Any) -> None:
            ends.append((time.time(), time.process_time()))

    best, model = arm == "trl_best", str(folder / "model")
    same = SAME | {"output_dir": str(folder / arm), "bf16": False, "use_cpu": True, "num_train_epochs": 1}
    same |= {"save_strategy": "no", "dataloader_pin_memory": False, "report_to": "none", "disable_tqdm": True}
    same |= {"logging_steps": 1, "disable_dropout": True} | ({"gradient_checkpointing": False} if best else {})
    rows = load_dataset("json", data_files=str(folder / "dataset" / "train.jsonl"), split="train")
    tokenizer = AutoTokenizer.from_pretrained(model)
    began = time.time()
    if recipe == "dpo":
        policy = AutoModelForCausalLM.from_pretrained(model)
        args = DPOConfig(**same, precompute_ref_log_probs=best)
        trainer = DPOTrainer(policy, args=args, train_dataset=rows, processing_class=tokenizer, callbacks=[Watch()])
    else:
        scorer = AutoModelForSequenceClassification.from_pretrained(model, num_labels=1)
        args = RewardConfig(**same)
        trainer = RewardTrainer(scorer, args=args, train_dataset=rows, processing_class=tokenizer, callbacks=[Watch()])
    made = time.time() - began
    trainer.train()
    both = list(zip(ends, ends[1:], strict=False))
    return {
        "seconds": [later[0] - sooner[0] for sooner, later in both],
        "cpu": [later[1] - sooner[1] for sooner, later in both],
        "reference": made if recipe == "dpo" and best else 0.0,
        "losses": [line["loss"] for line in trainer.state.log_history if "loss" in line],
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def figures(found: list[dict[str, dict]], folder: Path, recipe: str) -> dict:
    told: dict[str, Any] = {"layers": LAYERS or "all", "rows": ROWS, "batch": BATCH, "runs": RUNS}
    rate = {arm: [pairs_a_second(run[arm]) for run in found] for arm in found[0]}
    for arm in rate:
        told[arm] = {
            "pairs_a_second": round(statistics.median(rate[arm]), 3),
            "cpu_seconds_a_step": round(statistics.median(s for run in found for s in run[arm]["cpu"][1:]), 2),
            "reference_seconds": round(statistics.median(run[arm]["reference"] for run in found), 1),
            "peak_mb": round(statistics.median(run[arm]["peak"] for run in found) / 1e6),
        }
    for arm in (arm for arm in rate if arm.startswith("ours")):
        for peer in ("trl", "trl_best"):
            ratios = [a / b for a, b in zip(rate[arm], rate[peer], strict=True)]
            told[f"{arm}_times_{peer}"] = round(statistics.median(ratios), 2)
    rate_now = matmul_rate()
    told["matmul_gflops"] = round(rate_now / 1e9)
    told["of_matmul"] = round(told["ours"]["pairs_a_second"] * needed(folder, recipe) / rate_now, 2)
    first = found[0]
    apart = [abs(a - b) for a, b in zip(first["ours"]["losses"], first["trl_best"]["losses"], strict=True)]
    told |= {"losses": [round(loss, 4) for loss in first["ours"]["losses"]], "loss_difference": round(max(apart), 6)}
    return told


def needed(folder: Path, recipe: str) -> float:
    """Operations of a pair's update on average: 2 a weight and token forward, twice as many back; and of attention."""
    from transformers import AutoConfig, AutoTokenizer

    from training.engine.tree import Tree

    config, tokenizer = AutoConfig.from_pretrained(folder / "model"), AutoTokenizer.from_pretrained(folder / "model")
    size, heads = config.hidden_size, config.num_key_value_heads / config.num_attention_heads
    weights = config.num_hidden_layers * size * (size * (2 + 2 * heads) + 3 * config.intermediate_size)
    found = []
    for line in (folder / "dataset" / "train.jsonl").read_text().splitlines():
        pair = json.loads(line)
        told = {"add_generation_prompt": True, "tokenize": True, "return_dict": False}
        prompt = tokenizer.apply_chat_template(pair["prompt"], **told)
        rows = [tokenizer.apply_chat_template(pair["prompt"] + pair[side], return_dict=False) for side in SIDES]
        tree = Tree.of(rows)
        seen = config.num_hidden_layers * 2 * size * sum(tree.positions)
        read = size * config.vocab_size * sum(len(row) - len(prompt) for row in rows) if recipe == "dpo" else 0
        found.append(6 * (weights * len(tree.tokens) + seen + read))
    return statistics.mean(found)


def matmul_rate() -> float:
    """Operations a second of this machine's matrix product of 2048 × 2048 in fp32."""
    import torch

    one, best = torch.randn(2048, 2048), float("inf")
    for _ in range(8):
        began = time.perf_counter()
        one @ one
        best = min(best, time.perf_counter() - began)
    return 2 * 2048**3 / best


def pairs_a_second(one: dict) -> float:
    """Of every step but the first, with the reference's share of the time."""
    steps = one["seconds"][1:]
    return BATCH * len(steps) / (sum(steps) + one["reference"] * BATCH * len(steps) / ROWS)


if __name__ == "__main__":
    main()
