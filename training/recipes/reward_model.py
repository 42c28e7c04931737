"""Reward model: learn a score r(x, y) from pairs, so that what people chose scores higher than what they rejected.

Bradley and Terry: the chance that y_c is chosen over y_r is σ(r(x, y_c) − r(x, y_r)), so

    loss = −log σ( r(x, y_c) − r(x, y_r) − margin ) + center_rewards_coefficient · (r(x, y_c) + r(x, y_r))²

margin is 0 unless the pairs carry one (Touvron et al. 2023). Scores mean something only between completions of one
prompt; the second term keeps them near zero (Eisenstein et al. 2023). r is the base model with its vocabulary head
replaced by one number, read at the last token; the head starts at zero, so the first loss is ln 2 without margins.

Papers: Ouyang et al. 2022, step 2, https://arxiv.org/abs/2203.02155; https://arxiv.org/abs/2307.09288 (margin);
https://arxiv.org/abs/2312.09244 (centering)
Data: pairs {"prompt": messages, "chosen": messages, "rejected": messages[, "margin": number]}
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from training.recipes.config import Common, common_problems
from training.recipes.run import Run, main

DATA = "pairs"
MAKES = "reward_model"


@dataclass
class Config(Common):
    center_rewards_coefficient: Annotated[float | None, "keeps scores near zero; 0.01 is usual, empty is off"] = None
    use_margin: Annotated[bool, "ask for a bigger difference where the pairs carry a margin"] = True
    learning_rate: Annotated[float, "peak learning rate; about 2e-4 with lora, 1e-5 without"] = 2e-4


PRESETS = {
    "smoke": {"max_steps": 4, "per_device_train_batch_size": 2, "lora_layers": 4, "eval_on_start": False},
    "small": {"lora_layers": 8, "learning_rate": 5e-4, "max_length": 512, "save_steps": 20, "sample_every": 40},
    "full": {},
}


def problems(config: Config) -> list[str]:
    """What is wrong with these settings, one sentence each; nothing where they are fine."""
    found = common_problems(config)
    if (config.center_rewards_coefficient or 0) < 0:
        found.append(f"center_rewards_coefficient must not be negative, not {config.center_rewards_coefficient}")
    return found


def train(config: Config, run_dir: Path) -> None:
    """Train in `run_dir`; leaves the reward model in run_dir/model."""
    run = Run(run_dir, config)
    from trl import RewardConfig, RewardTrainer

    from training.engine.parts import InParts
    from training.recipes import weights
    from training.recipes.loop import Session

    class Trainer(InParts, RewardTrainer):
        """TRL's, which holds no more of a batch than it must."""

    session = Session(run, DATA)
    with_or_without_margins(session, config.use_margin)
    scorer = weights.load_scorer(run.base_model, session.dtype, session.tokenizer.pad_token_id)

    arguments = RewardConfig(
        **session.arguments(),
        center_rewards_coefficient=config.center_rewards_coefficient,
        max_length=None,  # rows over it are gone already, and counted
        disable_dropout=True,
    )
    trainer = Trainer(
        scorer,
        args=arguments,
        processing_class=session.tokenizer,
        peft_config=session.adapter(scorer, "SEQ_CLS", modules_to_save=["score"]),  # else the head never learns
        **session.datasets(),
    )
    session.fit(trainer, scores(session))


def with_or_without_margins(session: Any, use_margin: bool) -> None:
    """TRL takes a margin of every pair or of none; an absent one asks for nothing, which is 0."""
    pairs = session.train_rows.rows + session.eval_rows.rows
    wanted = use_margin and any("margin" in pair for pair in pairs)
    for pair in pairs:
        margin = pair.pop("margin", 0.0)
        if wanted:
            pair["margin"] = margin


def scores(session: Any) -> Any:
    """Sample the reward model: what it gives both sides of the first held-out pairs."""

    def draw(trainer: Any) -> Iterator[dict[str, Any]]:
        import torch

        model = trainer.accelerator.unwrap_model(trainer.model)
        was_training = model.training
        model.eval()
        for pair in (session.eval_rows.rows or session.train_rows.rows)[: session.config.samples]:
            for side in ("chosen", "rejected"):
                ids = torch.tensor([session.chat.tokens(pair["prompt"] + pair[side])], device=model.device)
                with torch.no_grad(), trainer.accelerator.autocast():
                    reward = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0, 0].item()
                text = pair[side][-1]["content"]
                yield {"prompt": pair["prompt"], "completion": text, "reward": reward, "parts": {side: reward}}
        model.train(was_training)

    return draw


if __name__ == "__main__":
    main(Config, problems, train)
