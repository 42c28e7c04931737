"""Our PPO against the last one TRL had (1.12.0): the same model, prompts, reward model and settings, in turns.

python -m benchmarks ppo_peer                    # goal: ≥ 2 × its samples/s, ≤ 70 % of its memory, as high a reward
BENCH_MODEL=/folder BENCH_LAYERS=4 BENCH_RUNS=3 BENCH_STEPS=6 BENCH_PEER=/python/with/trl python -m benchmarks ppo_peer

BENCH_LAYERS keeps the first layers only, for a small machine. All weights learn, in fp32, without recomputation. The
reward model has a head at random: it is there for its cost. How high a reward both reach is for `ppo_reward` to say.
`ours` has its value head on the policy; `ours_own` a value model of its own, as TRL does.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.prm_peer import peer_environment, run, starting_model, write_rows

RUNS = int(os.environ.get("BENCH_RUNS", 3))
LAYERS = int(os.environ.get("BENCH_LAYERS", 0))  # 0: all
STEPS = int(os.environ.get("BENCH_STEPS", 6))
PACKAGES = ("torch==2.13.0", "trl==1.12.0")
OURS = {"ours": "head", "ours_own": "own"}
THINGS = ("a river", "the moon", "bread", "a bicycle", "winter", "an orchestra", "rust", "a lighthouse")


@dataclass
class Task:
    """What both are given: prompts, in a folder beside `policy` and `reward`, and settings by names they share."""

    folder: Path
    rows: list[dict]
    rollouts: int
    length: int = 48  # most tokens of a completion
    batch: int = 8
    accumulated: int = 4
    learning_rate: float = 1e-5
    kl_coef: float = 0.05

    @property
    def completions(self) -> int:
        return self.batch * self.accumulated

    @property
    def settings(self) -> dict:
        sizes = {"per_device_train_batch_size": self.batch, "gradient_accumulation_steps": self.accumulated}
        same = {"num_ppo_epochs": 4, "num_mini_batches": 1, "temperature": 1.0, "kl_coef": self.kl_coef}
        return sizes | same | {"learning_rate": self.learning_rate}


def main() -> None:
    start, peer = starting_model(), peer_environment("trl-1.12.0", PACKAGES)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_models(start, folder)
        task = Task(folder, prompts(), STEPS)
        found = [by_all(task, n, peer) for n in range(RUNS)]
    print(json.dumps({"benchmark": "ppo_peer", "model": start.name, "layers": LAYERS or "all", **figures(task, found)}))


def make_models(start: Path, folder: Path) -> None:
    """The policy and a reward model with a head at random, of as many layers as are wanted."""
    code = (
        "import sys, torch; from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, "
        "AutoTokenizer\nstart, folder, layers = sys.argv[1:]; torch.manual_seed(0)\n"
        "kept = {'num_hidden_layers': int(layers)} if int(layers) else {}\n"
        "AutoModelForCausalLM.from_pretrained(start, dtype=torch.float32, **kept).save_pretrained(folder + '/policy')\n"
        "model = AutoModelForSequenceClassification.from_pretrained(start, num_labels=1, dtype=torch.float32, **kept)\n"
        "torch.nn.init.normal_(model.score.weight, std=0.02)\n"
        "tokenizer = AutoTokenizer.from_pretrained(start); model.config.pad_token_id = tokenizer.pad_token_id\n"
        "model.save_pretrained(folder + '/reward')\n"
        "[tokenizer.save_pretrained(folder + '/' + name) for name in ('policy', 'reward')]\n"
    )
    subprocess.run([sys.executable, "-c", code, str(start), str(folder), str(LAYERS)], check=True, capture_output=True)


def prompts() -> list[dict]:
    asked = ("Tell me something about {}.", "Why do people like {}?", "Write a line about {}.", "What is {} good for?")
    return [{"prompt": [{"role": "user", "content": ask.format(thing)}]} for ask in asked for thing in THINGS]


def by_all(task: Task, seed: int, peer: str) -> dict[str, dict]:
    ours = {name: by_us(task, seed, value_model) for name, value_model in OURS.items()}
    return ours | {"trl": by_trl(task, seed, peer)}


def by_us(task: Task, seed: int, value_model: str) -> dict:
    """The mean score of each rollout, its seconds and seconds of CPU, and the peak of memory."""
    run_dir = task.folder / f"ours-{value_model}-{seed}"
    write_rows(run_dir / "dataset" / "train.jsonl", task.rows)
    write_rows(run_dir / "dataset" / "eval.jsonl", [])
    settings = task.settings | {"rewards": "reward_model:judge 1", "max_completion_length": task.length}
    settings |= {"value_model": value_model}
    settings |= {"max_steps": task.rollouts, "seed": seed, "rollouts_kept": 0}
    settings |= {"lora": False, "precision": "fp32", "gradient_checkpointing": "off", "warmup_ratio": 0.0}
    settings |= {"save_steps": 0, "sample_every": 0, "max_length": 256}
    config = {"recipe": "ppo", "base_model": str(task.folder / "policy"), "device": "cpu", "settings": settings}
    (run_dir / "config.json").write_text(json.dumps(config | {"models": {"judge": str(task.folder / "reward")}}))
    run([sys.executable, "-m", "training.recipes.ppo", str(run_dir)])
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    steps = [line["values"] for line in lines if "loss" in line["values"]]
    seconds = [values["seconds_per_step"] for values in steps]
    return {
        "scores": [values["objective/scores"] for values in steps],
        "seconds": seconds,
        "cpu": [values["cpu_percent"] / 100 * taken for values, taken in zip(steps, seconds, strict=True)],
        "peak": json.loads((run_dir / "result.json").read_text())["peak_memory"],
    }


def by_trl(task: Task, seed: int, peer: str) -> dict:
    out = task.folder / f"trl-{seed}"
    write_rows(out / "train.jsonl", task.rows)
    arguments = task.settings | {"response_length": task.length, "stop_token": "eos", "seed": seed}
    arguments["total_episodes"] = task.rollouts * task.completions
    arguments |= {"bf16": False, "use_cpu": True, "gradient_checkpointing": False, "logging_steps": 1}
    arguments |= {"num_sample_generations": 0, "save_strategy": "no", "dataloader_pin_memory": False}
    said = {
        "model": str(task.folder / "policy"),
        "reward": str(task.folder / "reward"),
        "rows": str(out / "train.jsonl"),
    }
    (out / "settings.json").write_text(json.dumps(said | {"folder": str(out / "out"), "arguments": arguments}))
    script = Path(__file__).with_name("_trl_ppo.py")
    told = json.loads(run([peer, str(script), str(out / "settings.json")]).splitlines()[-1])
    times, cpu = ([line[clock] for line in told["lines"]] for clock in ("time", "cpu"))
    return {
        "scores": [line["objective/scores"] for line in told["lines"]],
        "seconds": [later - sooner for sooner, later in zip(times, times[1:], strict=False)],
        "cpu": [later - sooner for sooner, later in zip(cpu, cpu[1:], strict=False)],
        "peak": told["peak"],
    }


def figures(task: Task, found: list[dict]) -> dict:
    """Medians over runs; the first rollout warms up and does not count. Seconds of CPU hold on a busy machine too."""
    told: dict = {"rollouts": task.rollouts, "completions": task.completions, "runs": len(found)}
    for name in (*OURS, "trl"):
        for clock in ("seconds", "cpu"):
            taken = statistics.median(statistics.median(run[name][clock][-(task.rollouts - 1) :]) for run in found)
            told[f"{name}_{clock}_a_rollout"] = round(taken, 2)
        told[f"{name}_peak_gb"] = round(statistics.median(run[name]["peak"] for run in found) / 1e9, 2)
    for name in OURS:
        for clock in ("seconds", "cpu"):
            times = told[f"trl_{clock}_a_rollout"] / told[f"{name}_{clock}_a_rollout"]
            told[f"{name}_times_{clock}"] = round(times, 2)
        told[f"{name}_memory_share"] = round(told[f"{name}_peak_gb"] / told["trl_peak_gb"], 2)
    return told


if __name__ == "__main__":
    main()
