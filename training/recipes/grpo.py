r"""Group relative policy optimization: of several answers to a prompt, make those likelier that did better than most.

Each of G completions of a prompt gets a reward; how far it is above the group's mean is its tokens' advantage:

    A_i = (r_i − mean r) / std r          (scale_rewards none: without the division)
    loss = mean_t −min( ρ_t A_i, clip(ρ_t, 1−ε, 1+ε) A_i ) + beta · KL_t

A group whose rewards are all equal teaches nothing. It is not trained on, nor (in one process) is its KL, and with
`resample` another prompt is tried in its place.

Where it leads: KL_t is the k3 estimate, and it is differentiated, not rewarded. In expectation that follows the forward
KL(π_ref‖π), so in a one-token world the policy goes to π(y) ∝ π_ref(y) / (λ − r(y)/beta), λ making it sum to 1, and not
to π*(y) ∝ π_ref(y) exp(r(y)/beta). With `use_bias_correction_kl` (the estimate weighed by ρ_t, as in DeepSeek-V3.2) its
gradient is that of KL(π‖π_ref), and the policy goes to π*, if rewards are not scaled. A mean that counts the completion
itself makes rewards weigh (G−1)/G of what they should: beta acts as beta · G/(G−1). `rloo` leaves the completion out.

Papers: Shao et al. 2024, https://arxiv.org/abs/2402.03300; Liu et al. 2025 (Dr. GRPO), https://arxiv.org/abs/2503.20783;
Yu et al. 2025 (DAPO, resampling), https://arxiv.org/abs/2503.14476; Tang and Munos 2025 (gradients of KL estimates),
https://arxiv.org/abs/2506.09477
Data: prompts, {"prompt": messages[, "reference": text, more columns for the rewards]}
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from training.recipes.config import common_problems
from training.recipes.run import Run, main
from training.recipes.watching import Watched

DATA = "prompts"
MAKES = "policy"


@dataclass
class GroupConfig(Watched):
    """What GRPO and RLOO share."""

    rewards: Annotated[str, "what is rewarded: a weighted list, such as math 1; format 0.2"] = "math"
    num_generations: Annotated[int, "completions of each prompt that are compared with one another"] = 8
    max_completion_length: Annotated[int, "longest completion in tokens; a longer one is cut off there"] = 256
    temperature: Annotated[float, "of the completions drawn: higher is more varied"] = 1.0
    beta: Annotated[float, "how strongly to stay near ref_model; 0: not at all, and no reference is needed"] = 0.0
    num_iterations: Annotated[int, "passes over each rollout"] = 1
    epsilon: Annotated[float, "how far a token's probability may move in one rollout, as a share"] = 0.2
    resample: Annotated[int, "other prompts tried in place of one whose completions all got the same reward"] = 0
    self_corrections: Annotated[
        str, "words that are counted as signs of reflecting, with commas between them; empty: none"
    ] = "wait, let me check, let me double-check, actually, hmm"
    rollouts_kept: Annotated[
        int, "completions kept to look at, in whole groups from the first step to the last; 0: none"
    ] = 20_000
    eval_prompts: Annotated[int, "held-out prompts answered at each evaluation; 0: all of them"] = 128
    per_device_train_batch_size: Annotated[int, "completions in one forward pass, on each device"] = 8
    gradient_accumulation_steps: Annotated[int, "forward passes added up before one optimiser step"] = 4
    sample_every: Annotated[int, "steps between those of which completions are kept to look at; 0: none"] = 5
    samples: Annotated[int, "prompts of such a step whose completions are kept"] = 4
    learning_rate: Annotated[float, "peak learning rate; about 5e-5 with lora, 1e-6 without"] = 5e-5
    num_train_epochs: Annotated[float, "passes over the prompts"] = 1.0

    @property
    def rollout_size(self) -> int:
        """Completions of one rollout."""
        return self.per_device_train_batch_size * self.gradient_accumulation_steps


@dataclass
class Config(GroupConfig):
    loss_type: Annotated[
        Literal["dapo", "grpo", "dr_grpo", "bnpo"],
        "dapo: every token counts alike; grpo: every completion; dr_grpo: as if all were equally long",
    ] = "dapo"
    scale_rewards: Annotated[
        Literal["group", "batch", "none"], "divide advantages by the deviation of the group, or of the batch"
    ] = "group"
    epsilon_high: Annotated[float | None, "how far up it may move; empty: as far as down"] = None
    use_bias_correction_kl: Annotated[bool, "let the KL's gradient be that of KL(π‖π_ref); see above"] = False
    mask_truncated_completions: Annotated[bool, "learn nothing from completions that were cut off"] = False


PRESETS = {
    "smoke": {
        **{"max_steps": 2, "per_device_train_batch_size": 4, "gradient_accumulation_steps": 1, "num_generations": 4},
        **{"max_completion_length": 32, "lora_layers": 4, "eval_on_start": False, "eval_prompts": 4, "sample_every": 1},
    },
    "small": {"lora_layers": 8, "max_length": 512, "max_completion_length": 128, "save_steps": 10, "eval_prompts": 32},
    "full": {},
}


def problems(config: Config) -> list[str]:
    """What is wrong with these settings, one sentence each; nothing where they are fine."""
    found = group_problems(config)
    if config.epsilon_high is not None and config.epsilon_high < config.epsilon:
        found.append(f"epsilon_high must not be below epsilon {config.epsilon}, not {config.epsilon_high}")
    if config.use_bias_correction_kl and not config.beta:
        found.append("use_bias_correction_kl changes the KL's gradient; with beta 0 there is none")
    return found


def group_problems(config: GroupConfig) -> list[str]:
    from training.recipes.drawing import rollout_problems

    found = common_problems(config) + rollout_problems(config)
    if config.num_generations == 1:
        found.append("num_generations 1 compares a completion with nothing: every advantage would be 0; 8 is usual")
    for name in ("beta", "resample", "eval_prompts"):
        if getattr(config, name) < 0:
            found.append(f"{name} must not be negative, not {getattr(config, name)}")
    for name in ("num_iterations", "epsilon"):
        if getattr(config, name) <= 0:
            found.append(f"{name} must be above 0, not {getattr(config, name)}")
    return found


def train(config: Config, run_dir: Path) -> None:
    """Train in `run_dir`; leaves the policy in run_dir/model."""
    run = Run(run_dir, config)
    from trl import GRPOConfig, GRPOTrainer

    from training.recipes import group_trainer, weights
    from training.recipes.loop import Session

    session = Session(run, DATA)
    policy = weights.load_policy(run.base_model, session.dtype)
    arguments = GRPOConfig(
        **group_trainer.arguments(session),
        loss_type=config.loss_type,
        scale_rewards=config.scale_rewards,
        epsilon=config.epsilon,
        epsilon_high=config.epsilon_high,
        use_bias_correction_kl=config.use_bias_correction_kl,
        mask_truncated_completions=config.mask_truncated_completions,
    )
    trainer = group_trainer.make_trainer(GRPOTrainer, session, policy, arguments)
    session.fit(trainer, group_trainer.rollouts(session))


if __name__ == "__main__":
    main(Config, problems, train)
