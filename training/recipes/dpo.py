"""Direct preference optimization: make the policy likelier to say what was chosen than what was rejected.

For a prompt x with chosen y_c and rejected y_r, a policy π and the fixed reference π_ref it started from:

    loss = −log σ( β [ log π(y_c|x)/π_ref(y_c|x) − log π(y_r|x)/π_ref(y_r|x) ] )

The bracket is zero before the first step, so the first loss is ln 2. β·log π/π_ref is an implicit reward; the curves
`rewards/margins` and `rewards/accuracies` are made of it. Where both log-probabilities fall, the margin grows for the
wrong reason: lower learning_rate, or add beta.

Paper: Rafailov et al. 2023, https://arxiv.org/abs/2305.18290
Data: pairs {"prompt": messages, "chosen": messages, "rejected": messages}
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from training.recipes.config import Common, common_problems
from training.recipes.run import Run, main

DATA = "pairs"
MAKES = "policy"


@dataclass
class Config(Common):
    beta: Annotated[float, "how strongly to stay near ref_model: higher stays nearer"] = 0.1
    loss_type: Annotated[
        Literal["sigmoid", "ipo", "hinge", "robust", "sigmoid_norm"], "sigmoid is DPO as published"
    ] = "sigmoid"
    label_smoothing: Annotated[float, "share of labels taken to be wrong; used by loss_type robust"] = 0.0
    precompute_ref_log_probs: Annotated[
        bool, "run ref_model once before training: faster over several epochs, and less memory when lora is off"
    ] = False
    too_long: Annotated[
        Literal["drop", "cut"], "a pair over max_length: leave it out, or end its completions at max_length"
    ] = "drop"
    learning_rate: Annotated[float, "peak learning rate; about 1e-4 with lora, 1e-6 without"] = 1e-4


PRESETS = {
    "smoke": {"max_steps": 4, "per_device_train_batch_size": 2, "lora_layers": 4, "eval_on_start": False},
    "small": {"lora_layers": 8, "learning_rate": 2e-4, "max_length": 512, "save_steps": 20, "sample_every": 40},
    "full": {},
}


def problems(config: Config) -> list[str]:
    """What is wrong with these settings, one sentence each; nothing where they are fine."""
    found = common_problems(config)
    if config.beta <= 0:
        found.append(f"beta must be above 0, not {config.beta}: at 0 the pairs teach nothing; 0.1 is usual")
    if not 0 <= config.label_smoothing < 0.5:
        found.append(f"label_smoothing is a share below one half: between 0 and 0.5, not {config.label_smoothing}")
    if config.label_smoothing and config.loss_type != "robust":
        found.append("label_smoothing is used by loss_type robust only; set it to 0 or choose robust")
    return found


def train(config: Config, run_dir: Path) -> None:
    """Train in `run_dir`; leaves the policy in run_dir/model."""
    run = Run(run_dir, config)
    from trl import DPOConfig, DPOTrainer

    from training.recipes import weights
    from training.recipes.loop import Session, completions

    session = Session(run, DATA)
    policy = weights.load_policy(run.base_model, session.dtype)
    ref_model = weights.load_policy(run.ref_model, session.dtype) if run.ref_model else None

    arguments = DPOConfig(
        **session.arguments(),
        beta=config.beta,
        loss_type=[config.loss_type],
        label_smoothing=config.label_smoothing,
        max_length=config.max_length,  # rows over it are gone already, or cut here on purpose
        precompute_ref_log_probs=config.precompute_ref_log_probs,
        disable_dropout=True,  # else π and π_ref differ by chance, and the first loss is not ln 2
    )
    trainer = DPOTrainer(
        policy,
        ref_model,  # None: π_ref is the policy without its adapter, or a copy of it
        args=arguments,
        processing_class=session.tokenizer,
        peft_config=session.adapter(policy, "CAUSAL_LM"),
        **session.datasets(),
    )
    session.fit(trainer, completions(session))


if __name__ == "__main__":
    main(Config, problems, train)
