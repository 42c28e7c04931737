"""Supervised fine-tuning: make the policy imitate the completions people preferred.

For a prompt x and a completion y of T tokens, the loss is the mean over the completion's tokens, never the prompt's:

    loss = −1/T Σ_t log π(y_t | x, y_<t)

From pairs it takes the chosen side, each distinct prompt and completion once; from a chat, each assistant turn. Usual
before DPO, when the base model does not yet answer the way the chosen completions do.

Paper: Ouyang et al. 2022, step 1, https://arxiv.org/abs/2203.02155
Data: {"prompt": messages, "completion": messages}, {"messages": messages}, or pairs
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from training.recipes.config import Common, common_problems
from training.recipes.run import Run, main

DATA = "sft"
MAKES = "policy"


@dataclass
class Config(Common):
    loss_type: Annotated[Literal["nll", "dft"], "nll is plain imitation; dft weighs each token by its probability"] = (
        "nll"
    )
    too_long: Annotated[
        Literal["drop", "cut"], "a row over max_length: leave it out, or end its completion at max_length"
    ] = "drop"
    learning_rate: Annotated[float, "peak learning rate; about 2e-4 with lora, 2e-5 without"] = 2e-4


PRESETS = {
    "smoke": {"max_steps": 4, "per_device_train_batch_size": 2, "lora_layers": 4, "eval_on_start": False},
    "small": {"lora_layers": 8, "max_length": 512, "save_steps": 20, "sample_every": 40},
    "full": {},
}


def problems(config: Config) -> list[str]:
    """What is wrong with these settings, one sentence each; nothing where they are fine."""
    return common_problems(config)


def train(config: Config, run_dir: Path) -> None:
    """Train in `run_dir`; leaves the policy in run_dir/model."""
    run = Run(run_dir, config)
    from trl import SFTConfig, SFTTrainer

    from training.recipes import weights
    from training.recipes.loop import Session, completions

    session = Session(run, DATA)
    policy = weights.load_policy(run.base_model, session.dtype)

    arguments = SFTConfig(
        **session.arguments(),
        loss_type=config.loss_type,
        max_length=config.max_length,  # rows over it are gone already, or cut here on purpose
        completion_only_loss=True,
        packing=False,  # packed rows see each other without flash attention
    )
    trainer = SFTTrainer(
        policy,
        args=arguments,
        processing_class=session.tokenizer,
        peft_config=session.adapter(policy, "CAUSAL_LM"),
        **session.datasets(),
    )
    session.fit(trainer, completions(session))


if __name__ == "__main__":
    main(Config, problems, train)
