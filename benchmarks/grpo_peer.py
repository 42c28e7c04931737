"""GRPO with our trainer against TRL's own in this environment: the same model, prompts, reward and settings, in turns.

BENCH_MODEL=/folder BENCH_LAYERS=4 python -m benchmarks grpo_peer    # goals: ≥ 1.5 × its samples/s, groups ≥ 2 ×

Beside it, drawing a group of 8 from one prompt against `generate` on 8 copies, and whether greedy tokens are the same.
Seconds of CPU hold on a busy machine too; BENCH_LAYERS keeps the model's first layers only.
"""

import json
import os
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
GROUP, LENGTH, READ = 8, 48, 256
SAME = {"learning_rate": 1e-5, "per_device_train_batch_size": 8, "gradient_accumulation_steps": 4, "seed": 1}
SAME |= {"num_generations": GROUP, "max_completion_length": LENGTH, "beta": 0.04, "temperature": 1.0}


def main() -> None:
    if len(sys.argv) > 1 and sys.argv[1] == "--stock":
        return print(json.dumps(stock(Path(sys.argv[2]))))
    if len(sys.argv) > 1 and sys.argv[1] == "--draw":
        return print(json.dumps(drawing(Path(sys.argv[2]))))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_models(starting_model(), folder)
        found = [{"ours": by_us(folder, n), "trl": itself("--stock", folder)} for n in range(RUNS)]
        drawn = itself("--draw", folder)
    told: dict[str, Any] = {"layers": LAYERS or "all", "steps": STEPS, "completions": 32, "runs": RUNS}
    for clock in ("seconds", "cpu"):
        for who in ("ours", "trl"):
            told[f"{who}_{clock}_a_step"] = round(statistics.median(run[who][clock] for run in found), 2)
        told[f"times_{clock}"] = round(told[f"trl_{clock}_a_step"] / told[f"ours_{clock}_a_step"], 2)
    print(json.dumps({"benchmark": "grpo_peer", **told, "group": drawn}))


def itself(what: str, folder: Path) -> dict:
    return json.loads(run([sys.executable, "-m", "benchmarks", "grpo_peer", what, str(folder)]).splitlines()[-1])


def by_us(folder: Path, number: int) -> dict[str, float]:
    run_dir = folder / f"ours-{number}"
    write_rows(run_dir / "dataset" / "train.jsonl", prompts())
    write_rows(run_dir / "dataset" / "eval.jsonl", [])
    settings = SAME | {"rewards": "length -0.01 unit=characters", "max_steps": STEPS, "max_length": 256, "lora": False}
    settings |= {"precision": "fp32", "gradient_checkpointing": "off", "save_steps": 0, "sample_every": 0}
    config = {"recipe": "grpo", "base_model": str(folder / "policy"), "device": "cpu", "settings": settings}
    (run_dir / "config.json").write_text(json.dumps(config))
    run([sys.executable, "-m", "training.recipes.grpo", str(run_dir)])
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    steps = [line["values"] for line in lines if "loss" in line["values"]][1:]
    seconds = [values["seconds_per_step"] for values in steps]
    used = [values["cpu_percent"] / 100 * taken for values, taken in zip(steps, seconds, strict=True)]
    return {"seconds": statistics.median(seconds), "cpu": statistics.median(used)}


def stock(folder: Path) -> dict[str, float]:
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    ends: list[tuple[float, float]] = []

    class Watch(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            ends.append((time.time(), time.process_time()))

    same = SAME | {"bf16": False, "use_cpu": True, "gradient_checkpointing": False, "max_steps": STEPS}
    same |= {"save_strategy": "no", "dataloader_pin_memory": False, "report_to": "none", "disable_tqdm": True}
    trainer = GRPOTrainer(
        AutoModelForCausalLM.from_pretrained(folder / "policy"),
        reward_funcs=[lambda completions, **_: [-0.01 * len(one[0]["content"]) for one in completions]],
        args=GRPOConfig(output_dir=str(folder / "stock"), **same),
        train_dataset=Dataset.from_list(prompts()),
        processing_class=AutoTokenizer.from_pretrained(folder / "policy"),
        callbacks=[Watch()],
    )
    trainer.train()
    taken = [tuple(b - a for a, b in zip(one, other, strict=True)) for one, other in zip(ends, ends[1:], strict=False)]
    return {"seconds": statistics.median(t for t, _ in taken), "cpu": statistics.median(c for _, c in taken)}


def drawing(folder: Path) -> dict[str, Any]:
    """A group from one prompt of some length, where rows end one after the other, as they do."""
    import torch
    from transformers import AutoModelForCausalLM

    from training.recipes.generate import draw

    network = AutoModelForCausalLM.from_pretrained(folder / "policy").eval()
    chance = torch.Generator().manual_seed(0)
    words = network.config.vocab_size
    prompt = torch.randint(words // 100, words, (READ,), generator=chance).tolist()
    ends = frozenset(range(0, words, 40))  # about a row in forty ends at each token
    copies = torch.tensor([prompt] * GROUP)
    options = {"max_new_tokens": LENGTH, "attention_mask": torch.ones_like(copies), "pad_token_id": 0}

    def ours(temperature: float) -> list[list[int]]:
        said = draw(network, [prompt], GROUP, max_tokens=LENGTH, temperature=temperature, eos=ends, generator=chance)
        return [one.tokens for one in said[0]]

    def theirs(sample: bool) -> Any:
        return network.generate(copies, do_sample=sample, top_k=0, eos_token_id=sorted(ends), **options)

    greedy, plain = ours(0.0)[0], theirs(False)[0, READ:].tolist()
    taken = [(cpu(lambda: ours(1.0)), cpu(lambda: theirs(True))) for _ in range(5)]
    mine, other = (statistics.median(side) for side in zip(*taken, strict=True))
    same = greedy == plain[: len(greedy)]
    return {
        "ours_cpu_s": round(mine, 3),
        "generate_cpu_s": round(other, 3),
        "times": round(other / mine, 2),
        "same": same,
    }


def cpu(work: Any) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


if __name__ == "__main__":
    main()
