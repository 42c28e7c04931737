"""Reinforcement learning on the proving ground: how far each recipe raises the held-out solve rate, and how soon.

PROVING_GROUND=/folder python -m benchmarks rl_provingground      # goal: GRPO and PPO by ≥ 25 points in ≤ 15 minutes
RL_RUNS=grpo,ppo RL_STEPS=30 RL_ROLLOUT=128 RL_EVERY=1 …          # some of the runs, shorter, looked at more often

The verifier rewards the right answer; a process reward model's scores reward steps, at their ends or by the worst of
them; an outcome reward model rewards wholes. All models can be cheated, so a KL term holds the policy near its start.
What is measured is the truth, on problems that no model has seen.

In `hacked` nothing holds the policy near its start, and the outcome reward model is all that it learns from, until it
finds what that model overlooks. The verifier is the gold reward, and the rule ends the run: its line says the proxy,
the gold and the KL at each evaluation, the step that was kept, and why it ended.
"""

import json
import os
import sys
import time
from pathlib import Path

from benchmarks._ground import rounded, standing
from training import step_metrics
from training.provingground.ground import Ground
from training.provingground.policy import Policy
from training.provingground.problems import Problem
from training.provingground.runs import train
from training.provingground.truth import judge

STEPS = int(os.environ.get("RL_STEPS", 100))
ROLLOUT = int(os.environ.get("RL_ROLLOUT", 256))  # completions a step
EVERY = int(os.environ.get("RL_EVERY", max(1, STEPS // 10)))  # steps between evaluations
GROUP, TESTS, SAMPLES = 8, 200, 4
FOLLOWED = "; math 1e-9"  # the truth beside a learned reward: on the curves, and next to nothing in the sum
RUNS = {
    "grpo": ("grpo", "math 1", {}),
    "ppo": ("ppo", "math 1", {}),
    "ppo_dense": ("ppo", "prm:steps 0.2 aggregate=dense" + FOLLOWED, {"kl_coef": 0.1}),
    "ppo_prm": ("ppo", "prm:steps 1 aggregate=min" + FOLLOWED, {"kl_coef": 0.1}),
    "ppo_orm": ("ppo", "orm:outcome 1" + FOLLOWED, {"kl_coef": 0.1}),
    "online_dpo": ("online_dpo", "math 1", {"learning_rate": 5e-5}),
    "hacked": ("ppo", "orm:outcome 1", {"kl_coef": 0.0, "gold": "math 1", "gold_patience": 3}),
    "best_of_n": ("best_of_n", "math 1", {"threshold": 1.0, "learning_rate": 3e-4, "num_train_epochs": 2.0}),
}
LEARN = {"lora": False, "precision": "fp32", "max_length": 256, "max_completion_length": 110, "save_steps": 0}
LEARN |= {"num_generations": GROUP, "logging_steps": 1, "eval_prompts": TESTS, "sample_every": 0, "warmup_ratio": 0.05}
DRAWN = {"max_steps": STEPS, "eval_steps": EVERY, "learning_rate": 3e-4, "eval_on_start": True}
DRAWN |= {"lr_scheduler_type": "linear", "per_device_train_batch_size": 64}
DRAWN |= {"gradient_accumulation_steps": max(1, ROLLOUT // 64)}
OWN = {"ppo": {"num_ppo_epochs": 2, "kl_coef": 0.0, "vf_coef": 0.5}, "grpo": {"learning_rate": 5e-4}, "online_dpo": {}}


def main() -> None:
    wanted = os.environ.get("RL_RUNS", ",".join(RUNS)).split(",")
    with standing() as ground:
        before = solved(ground.policy_folder, ground.problems(TESTS))
        found = {name: measure(ground, name, before[0]) for name in wanted}
    figures = {"steps": STEPS, "rollout": ROLLOUT, "problems": TESTS, "samples": SAMPLES, "before": rounded(before)}
    print(json.dumps({"benchmark": "rl_provingground", **figures, **found}))


def measure(ground: Ground, name: str, before: float) -> dict:
    recipe, rewards, own = RUNS[name]
    settings = LEARN | (DRAWN | OWN[recipe] if recipe in OWN else {"per_device_train_batch_size": 32}) | own
    run_dir, began = ground.folder / f"rl-{name}-{STEPS}-{ROLLOUT}-{EVERY}", time.time()
    models = {name: str(folder) for name, folder in judges(ground, rewards).items()}
    rows, held_out = (map(as_row, ground.problems(*asked)) for asked in ((4000, "rl"), (TESTS, "rl-held-out")))
    model = train(recipe, run_dir, ground.policy_folder, rows, held_out, say(name), models, rewards=rewards, **settings)
    result = json.loads((run_dir / "result.json").read_text())
    after = solved(model, ground.problems(TESTS))
    watched = {"watched": watch(run_dir, result)} if "gold" in settings else {}
    return {
        "after": rounded(after),
        "points": round(100 * (after[0] - before), 1),
        "seconds": round(result["seconds"]),
        "waited": round(time.time() - began),
        "completions_to_25_points": reached(run_dir, 0.25),
        "curve": curve(run_dir),
    } | watched


def watch(run_dir: Path, result: dict) -> dict:
    """What the rule saw and did: the proxy, gold and KL of every evaluation, by step; the step that was kept."""
    names = {"proxy": "eval_reward", "gold": "eval_gold", "kl": "eval_kl"}
    curves = {name: by_step(run_dir, key) for name, key in names.items()}
    gold = result["gold"]
    told = {"kept_step": gold["step"], "kept_gold": round(gold["best"], 3), "last_gold": round(gold["last"], 3)}
    return curves | told | {"ended_at": result["step"], "reason": result["reason"]}


def judges(ground: Ground, rewards: str) -> dict[str, Path]:
    """The reward models that these rewards name; what is not asked for is not trained."""
    found = {}
    if "prm:" in rewards:
        found["steps"] = ground.prm_folder
    if "orm:" in rewards:
        found["outcome"] = ground.orm_folder
    return found


def as_row(problem: Problem) -> dict:
    return {"prompt": problem.messages, "reference": str(problem.answer)}


def solved(folder: Path, problems: list[Problem]) -> tuple[float, float, float]:
    """Share of sampled solutions that are right, with a 95 % interval over problems."""
    solutions = Policy(folder).solve(problems, SAMPLES, seed=7)
    shares = [
        step_metrics.mean([float(judge(problem, steps).solved) for steps in several])
        for problem, several in zip(problems, solutions, strict=True)
    ]
    return step_metrics.bootstrap(shares, step_metrics.mean)


def curve(run_dir: Path) -> list[list[float]]:
    """Steps, and the solve rate on prompts held out from training."""
    return by_step(run_dir, "eval_rewards/math/mean") or by_step(run_dir, "eval_gold")


def by_step(run_dir: Path, key: str) -> list[list[float]]:
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    return [[line["step"], round(line["values"][key], 3)] for line in lines if key in line["values"]]


def reached(run_dir: Path, gain: float) -> int | None:
    """Completions drawn until the held-out solve rate had risen so far."""
    points = curve(run_dir)
    return next((step * ROLLOUT for step, rate in points if rate >= points[0][1] + gain), None)


def say(name: str):
    return lambda line: print(f"{name}: {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
