r"""REINFORCE leave-one-out: of several answers to a prompt, compare each with the mean of the others.

The KL to the reference is taken off each completion's reward, R_i = r_i − beta · Σ_t log π/π_ref, and the advantage of
a completion is how much it exceeds the mean of the G − 1 others:

    A_i = R_i − (1 / (G−1)) Σ_{j≠i} R_j,        loss = mean_i −min( ρ_i A_i, clip(ρ_i, 1−ε, 1+ε) A_i )

A mean without the completion itself leaves the gradient unbiased, and a KL that is rewarded, not differentiated, has
the right one: in a one-token world the policy goes to π*(y) ∝ π_ref(y) exp(r(y)/beta).

Paper: Ahmadian et al. 2024, https://arxiv.org/abs/2402.14740
Data: prompts {"prompt": messages[, "reference": text, more columns for the rewards]}
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from training.recipes.grpo import PRESETS as GRPO_PRESETS
from training.recipes.grpo import GroupConfig, group_problems
from training.recipes.run import Run, main

DATA = "prompts"
MAKES = "policy"


@dataclass
class Config(GroupConfig):
    beta: Annotated[float, "how strongly to stay near ref_model: higher stays nearer"] = 0.05
    normalize_advantages: Annotated[bool, "bring a batch's advantages to mean 0 and deviation 1"] = False


PRESETS = dict(GRPO_PRESETS)


def problems(config: Config) -> list[str]:
    """What is wrong with these settings, one sentence each; nothing where they are fine."""
    return group_problems(config)


def train(config: Config, run_dir: Path) -> None:
    """Train in `run_dir`; leaves the policy in run_dir/model."""
    run = Run(run_dir, config)
    from trl import RLOOConfig, RLOOTrainer

    from training.recipes import group_trainer, weights
    from training.recipes.loop import Session

    session = Session(run, DATA)
    policy = weights.load_policy(run.base_model, session.dtype)
    arguments = RLOOConfig(
        **group_trainer.arguments(session),
        epsilon=config.epsilon,
        normalize_advantages=config.normalize_advantages,
    )
    trainer = group_trainer.make_trainer(RLOOTrainer, session, policy, arguments)
    session.fit(trainer, group_trainer.rollouts(session))


if __name__ == "__main__":
    main(Config, problems, train)
