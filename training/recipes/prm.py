r"""Process reward model: learn how likely each step of a solution is right, from labels of steps.

The base model's vocabulary head is replaced by two numbers, read at the end of every step; P(good) is their softmax at
index 1. For the n labeled steps of an optimiser step, with labels y that are 1, 0 or a fraction of rollouts that
reached the answer (Math-Shepherd's soft estimates),

    loss = −1/n Σ w(y) · [ y log P(good) + (1 − y) log P(bad) ]

A trace is the prompt through the model's chat template, then each step followed by step_separator; nothing else is read
at inference. A step without a label (null) is passed over. Traces longer than max_length are read in overlapping
windows in which every step is scored once. The head starts at zero, so the first loss is ln 2.

Papers: Lightman et al. 2023 (PRM800K), https://arxiv.org/abs/2305.20050; Wang et al. 2024 (Math-Shepherd),
https://arxiv.org/abs/2312.08935; metrics: Zheng et al. 2024 (ProcessBench), https://arxiv.org/abs/2412.06559
Data: stepwise {"prompt": messages, "completions": [step, …], "labels": [true | false | 0.0–1.0 | null, …]}
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from training import step_metrics
from training.recipes.config import BadConfig, Common, common_problems
from training.recipes.run import Run, main
from training.recipes.traces import separator_of

DATA = "stepwise"
MAKES = "process_reward_model"


@dataclass
class Config(Common):
    step_separator: Annotated[
        str, r"what follows each step, at training and when the model is used; \n breaks a line"
    ] = r"\n\n"
    hard_label_threshold: Annotated[
        float | None, "a fraction from here on counts as good, a lower one as bad; empty: learn the fraction itself"
    ] = None
    steps_after_first_error: Annotated[bool, "learn from the steps that follow the first bad one as well"] = True
    bad_step_weight: Annotated[
        float, "how many times a bad step counts; 0: as if bad and good steps were equally many"
    ] = 1.0
    max_length: Annotated[
        int, "longest part read at once, in tokens; longer traces are read in overlapping windows"
    ] = 1024
    learning_rate: Annotated[float, "peak learning rate; about 2e-4 with lora, 1e-5 without"] = 2e-4


PRESETS = {
    "smoke": {"max_steps": 4, "per_device_train_batch_size": 2, "lora_layers": 4, "eval_on_start": False},
    "small": {"lora_layers": 8, "learning_rate": 5e-4, "max_length": 512, "save_steps": 20, "sample_every": 40},
    "full": {},
}


def problems(config: Config) -> list[str]:
    """What is wrong with these settings, one sentence each; nothing where they are fine."""
    found = common_problems(config) + separator_problems(config)
    if config.bad_step_weight < 0:
        found.append(f"bad_step_weight must not be negative, not {config.bad_step_weight}; 0 balances both classes")
    if config.hard_label_threshold is not None and not 0 < config.hard_label_threshold <= 1:
        found.append(f"hard_label_threshold is a share: above 0 and at most 1, not {config.hard_label_threshold}")
    return found


def separator_problems(config: Config) -> list[str]:
    try:
        separator_of(config)
    except BadConfig as error:
        return [str(error)]
    return []


def train(config: Config, run_dir: Path) -> None:
    """Train in `run_dir`; leaves the process reward model in run_dir/model."""
    run = Run(run_dir, config)
    from training.recipes import weights
    from training.recipes.loop import Session
    from training.recipes.step_trainer import fit

    session = Session(run, DATA)
    model = weights.load_step_scorer(run.base_model, session.dtype)
    fit(session, model, "TOKEN_CLS", config.bad_step_weight, measure, "step_accuracy")


def measure(traces: list) -> dict[str, float | None]:
    """Of (probabilities, labels) a trace: how well steps and first errors are told, where labels are."""
    seen = [[(p, y) for p, y in zip(*trace, strict=True) if y is not None] for trace in traces]
    probs, labels = ([pair[side] for trace in seen for pair in trace] for side in (0, 1))
    predicted, true = ([step_metrics.first_error([pair[side] for pair in trace]) for trace in seen] for side in (0, 1))
    bench = step_metrics.processbench(true, predicted)
    return {
        "step_accuracy": step_metrics.step_accuracy(probs, labels),
        "first_error_accuracy": step_metrics.first_error_accuracy(true, predicted),
        "processbench_f1": bench["f1"],
        "error_acc": bench["error_acc"],
        "correct_acc": bench["correct_acc"],
        "calibration_error": step_metrics.calibration(probs, labels)["ece"],
    }


if __name__ == "__main__":
    main(Config, problems, train)
