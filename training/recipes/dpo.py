"""Direct preference optimization: make the policy likelier to say what was chosen than what was rejected.

For a prompt x with chosen y_c and rejected y_r, a policy π and the fixed reference π_ref it started from:

    loss = −log σ( β [ log π(y_c|x)/π_ref(y_c|x) − log π(y_r|x)/π_ref(y_r|x) ] )

The bracket is zero before the first step, so the first loss is ln 2. β·log π/π_ref is an implicit reward; the curves
`rewards/margins` and `rewards/accuracies` are made of it. Where both log-probabilities fall, the margin grows for the
wrong reason: lower learning_rate, or add beta.

Paper: Rafailov et al. 2023, https://arxiv.org/abs/2305.18290
Data: pairs {"prompt": messages, "chosen": messages, "rejected": messages}
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from training.recipes import machine
from training.recipes.config import Common, common_problems
from training.recipes.run import Run, main

DATA = "pairs"
MAKES = "policy"
REFERENCE_TOKENS = 8192  # of pairs that ref_model reads at once


@dataclass
class Config(Common):
    beta: Annotated[float, "how strongly to stay near ref_model: higher stays nearer"] = 0.1
    loss_type: Annotated[
        Literal["sigmoid", "ipo", "hinge", "robust", "sigmoid_norm"], "sigmoid is DPO as published"
    ] = "sigmoid"
    label_smoothing: Annotated[float, "share of labels taken to be wrong; used by loss_type robust"] = 0.0
    precompute_ref_log_probs: Annotated[
        bool, "ask ref_model once for each pair and remember it for later runs; off: at every step"
    ] = True
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
    from trl import DPOConfig

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
        precompute_ref_log_probs=config.precompute_ref_log_probs and alone_with_every_pair(session),
        disable_dropout=True,  # else π and π_ref differ by chance, and the first loss is not ln 2
    )
    trainer = make_trainer(session)(
        policy,
        ref_model,  # None: π_ref is the policy without its adapter, or a copy of it
        args=arguments,
        processing_class=session.tokenizer,
        peft_config=session.adapter(policy, "CAUSAL_LM"),
        **session.datasets(),
    )
    session.fit(trainer, completions(session))


def alone_with_every_pair(session: Any) -> bool:
    """A training that ends before is not made to ask about pairs that it never comes to; of several processes each
    asks about its own."""
    config = session.config
    seen = session.total * config.per_device_train_batch_size * config.gradient_accumulation_steps
    return machine.world_size() == 1 and seen >= len(session.train_rows.rows)


def make_trainer(session: Any) -> type:
    """TRL's trainer, which looks up what ref_model says of a pair before it asks (training.engine.reference), and holds
    no more of a batch than it must (training.engine.parts)."""
    from trl import DPOTrainer

    from training.engine import reference
    from training.engine.parts import InParts
    from training.recipes.steps import length_batches

    class Trainer(InParts, DPOTrainer):
        def _precompute_ref_logps(self, dataset: Any, name: str, batch_size: int) -> Any:
            session.quicken(self)
            numbers = f"{session.machine.precision}-{session.dtype}"
            if session.config.too_long == "cut":  # what a pair's tokens do not say
                numbers += f"-cut-at-{session.config.max_length}"
            kept = reference.Kept(session.run.ref_model or session.run.base_model, numbers)
            columns, began = ["prompt_ids", "chosen_ids", "rejected_ids"], time.monotonic()
            pairs, asked = reference.look_up(kept, dataset.select_columns(columns).to_list(), self.ask)
            took = f"{time.monotonic() - began:.1f} s"
            print(f"{name}: ref_model was asked about {asked} of {len(pairs)} pairs, the others were known; {took}")
            if name == "train":
                session.saves.append(f"ref_model asked about {asked} of {len(pairs)} pairs, the others known")
            for side, logps in zip(("ref_chosen_logps", "ref_rejected_logps"), zip(*pairs, strict=True), strict=True):
                dataset = dataset.add_column(side, list(logps))
            return dataset

        def ask(self, examples: list[dict[str, Any]]) -> list[tuple[float, float]]:
            found = {}
            for batch in length_batches([sum(map(len, one.values())) for one in examples], REFERENCE_TOKENS):
                inputs = self._prepare_inputs(self.data_collator([examples[at] for at in batch]))
                chosen, rejected = self.compute_ref_log_probs(self.ref_model or self.model, inputs)
                found |= zip(batch, zip(chosen.tolist(), rejected.tolist(), strict=True), strict=True)
            return [found[at] for at in range(len(examples))]

    return Trainer


if __name__ == "__main__":
    main(Config, problems, train)
