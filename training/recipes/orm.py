r"""Outcome reward model: learn how likely a whole solution is right, from verified answers.

The base model's vocabulary head is replaced by one number, read at the end of the last step; P(right) is its sigmoid.
For n solutions with labels y that are 1 where the answer is right, else 0,

    loss = −1/n Σ w(y) · [ y log P(right) + (1 − y) log(1 − P(right)) ]

A solution is the same tokens a process reward model reads (`prm`), so the two are compared on equal terms. Of a
solution longer than max_length the last window is read: the prompt, and the end of the steps. The head starts at zero,
so the first loss is ln 2.

Papers: Cobbe et al. 2021, https://arxiv.org/abs/2110.14168; Uesato et al. 2022, https://arxiv.org/abs/2211.14275
Data: outcome {"prompt": messages, "completions": [step, …], "label": true | false}
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from training import step_metrics
from training.recipes.config import Common, common_problems
from training.recipes.prm import separator_problems
from training.recipes.run import Run, main

DATA = "outcome"
MAKES = "outcome_reward_model"


@dataclass
class Config(Common):
    step_separator: Annotated[
        str, r"what follows each step, at training and when the model is used; \n breaks a line"
    ] = r"\n\n"
    wrong_weight: Annotated[
        float, "how many times a wrong solution counts; 0: as if right and wrong ones were equally many"
    ] = 1.0
    max_length: Annotated[int, "longest part read, in tokens; of a longer solution the prompt and the end"] = 1024
    learning_rate: Annotated[float, "peak learning rate; about 2e-4 with lora, 1e-5 without"] = 2e-4


PRESETS = {
    "smoke": {"max_steps": 4, "per_device_train_batch_size": 2, "lora_layers": 4, "eval_on_start": False},
    "small": {"lora_layers": 8, "learning_rate": 5e-4, "max_length": 512, "save_steps": 20, "sample_every": 40},
    "full": {},
}


def problems(config: Config) -> list[str]:
    """What is wrong with these settings, one sentence each; nothing where they are fine."""
    found = common_problems(config) + separator_problems(config)
    if config.wrong_weight < 0:
        found.append(f"wrong_weight must not be negative, not {config.wrong_weight}; 0 balances both classes")
    return found


def train(config: Config, run_dir: Path) -> None:
    """Train in `run_dir`; leaves the outcome reward model in run_dir/model."""
    run = Run(run_dir, config)
    from training.recipes import weights
    from training.recipes.loop import Session
    from training.recipes.step_trainer import fit

    session = Session(run, DATA)
    model = weights.load_scorer(run.base_model, session.dtype, session.tokenizer.pad_token_id)
    fit(session, model, "SEQ_CLS", config.wrong_weight, measure, "accuracy")


def measure(traces: list) -> dict[str, float | None]:
    """Of (probabilities, labels) a trace: accuracy, area under the curve, calibration."""
    probs, labels = ([trace[side][-1] for trace in traces] for side in (0, 1))
    return {
        "accuracy": step_metrics.step_accuracy(probs, labels),
        "auc": step_metrics.auc(probs, labels),
        "calibration_error": step_metrics.calibration(probs, labels)["ece"],
    }


if __name__ == "__main__":
    main(Config, problems, train)
