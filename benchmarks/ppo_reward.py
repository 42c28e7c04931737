"""How high a reward our PPO and TRL 1.12.0's reach after as many samples, on the proving ground, in turns.

PROVING_GROUND=/pg PROVING_GROUND_SIZE=minute BENCH_RUNS=3 BENCH_STEPS=40 BENCH_SEED=1 python -m benchmarks ppo_reward

The reward is a reward model that learned from pairs of a right and a wrong solution. Both start from the same policy,
with the same settings, seeds from BENCH_SEED on. Said are the mean scores of the first and of the last rollouts.
`ours` has its value head on the policy; `ours_own` a value model that begins as the reward model, as TRL does.
"""

import json
import os
import shutil
import statistics
import tempfile
from itertools import groupby
from pathlib import Path

from benchmarks._ground import standing
from benchmarks.ppo_peer import OURS, PACKAGES, Task, by_all
from benchmarks.prm_peer import peer_environment
from training.provingground.ground import LEARN, Ground
from training.provingground.problems import SEPARATOR
from training.provingground.runs import train

RUNS = int(os.environ.get("BENCH_RUNS", 3))
STEPS = int(os.environ.get("BENCH_STEPS", 40))
SEED = int(os.environ.get("BENCH_SEED", 1))
LAST = 5  # rollouts whose mean is said
LEARNING = {"learning_rate": 3e-4, "kl_coef": 0.05, "batch": 32, "accumulated": 4, "length": 80}


def main() -> None:
    peer = peer_environment("trl-1.12.0", PACKAGES)
    with tempfile.TemporaryDirectory() as name, standing() as ground:
        folder = Path(name)
        shutil.copytree(ground.policy_folder, folder / "policy")
        shutil.copytree(reward_model(ground), folder / "reward")
        rows = [{"prompt": problem.messages} for problem in ground.problems(2000, "rl")]
        task = Task(folder, rows, STEPS, **LEARNING)
        found = [by_all(task, seed, peer) for seed in range(SEED, SEED + RUNS)]
    told: dict = {"rollouts": STEPS, "completions": task.completions, "runs": RUNS}
    for name in (*OURS, "trl"):
        for when, part in (("first", slice(LAST)), ("last", slice(-LAST, None))):
            told[f"{name}_{when}"] = [round(statistics.mean(run[name]["scores"][part]), 3) for run in found]
        told[f"{name}_seconds_a_rollout"] = round(
            statistics.median(s for run in found for s in run[name]["seconds"]), 2
        )
    print(json.dumps({"benchmark": "ppo_reward", **told}))


def reward_model(ground: Ground) -> Path:
    """Of every problem whose sampled solutions are some right and some wrong, a pair."""
    pairs = []
    for problem, several in groupby(ground.traces, key=lambda trace: trace.problem):
        by_truth = {trace.truth.solved: say(SEPARATOR.join(trace.steps)) for trace in several}
        if len(by_truth) == 2:
            sides = {"chosen": by_truth[True], "rejected": by_truth[False]}
            pairs.append({"prompt": problem.messages} | sides)
    folder, settings = ground.folder / "pairs", LEARN | {"learning_rate": 5e-4, "num_train_epochs": 4.0}
    return train("reward_model", folder, ground.policy_folder, pairs[64:], pairs[:64], print, **settings)


def say(text: str) -> list[dict]:
    return [{"role": "assistant", "content": text}]


if __name__ == "__main__":
    main()
