"""A policy in training answers prompts and rewards score what it says: what recipes that draw their data share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from training.recipes.generate import Drawn, draw
from training.recipes.learned import Rewards
from training.recipes.scoring import Answer, part_means
from training.recipes.watching import Watcher, gold_problems, told

Row = dict[str, Any]


class Drawing:
    """The policy of an ActorCritic at work, by the settings of its run. Chance comes from the seed and a step's number,
    so that a run resumed at a step draws what it would have drawn."""

    def __init__(self, session: Any, actor: Any) -> None:
        self.session, self.config, self.actor = session, session.config, actor
        self.rewards, self.watcher = Rewards(session, self.config.rewards), Watcher(session)

    def draw(self, rows: Sequence[Row], n: int, step: int) -> tuple[list[list[int]], list[Drawn]]:
        """n completions for each row: the tokens of each one's prompt, and what was drawn."""
        import torch

        prompts = [self.session.chat.tokens(row["prompt"], add_generation_prompt=True) for row in rows]
        chance = torch.Generator(self.actor.policy.device).manual_seed(self.config.seed * 1_000_003 + step)
        options = {"max_tokens": self.config.max_completion_length, "temperature": self.config.temperature}
        with self.session.clock("draw"), self.actor.autocast():
            policy, value_head = self.actor.policy, self.actor.value_head
            groups = draw(policy, prompts, n, eos=self.actor.ends, generator=chance, value_head=value_head, **options)
        return [prompt for prompt in prompts for _ in range(n)], [drawn for group in groups for drawn in group]

    def answers(self, rows: Sequence[Row], n: int, drawn: Sequence[Drawn]) -> list[Answer]:
        """What was drawn as answers to the rows, n in a row to each."""
        texts = [self.session.tokenizer.decode(one.tokens, skip_special_tokens=True) for one in drawn]
        return [
            Answer(rows[at // n], text, one.tokens) for at, (text, one) in enumerate(zip(texts, drawn, strict=True))
        ]

    def evaluate(self) -> dict[str, float]:
        """Answer held-out prompts once each, with the same chance every time; what there is to say of the answers."""
        rows = self.session.eval_rows.rows[: self.config.eval_prompts or None]
        if not rows:
            return {}
        self.actor.forget()
        prompts, drawn = self.draw(rows, 1, step=0)
        answers = self.answers(rows, 1, drawn)
        scores, kl = self.rewards(answers), self.actor.divergence(prompts, drawn)
        lengths = [len(one.tokens) for one in drawn]
        found = part_means(scores) | told(self.watcher(answers, scores, kl))
        found["completions/clipped_ratio"] = 1 - sum(one.ended for one in drawn) / len(drawn)
        found["completions/mean_length"] = sum(lengths) / len(lengths)
        return {f"eval_{name}": value for name, value in found.items()}


def rollout_problems(config: Any) -> list[str]:
    """Of the settings of recipes that draw completions and learn from them, rollout after rollout."""
    found = drawing_problems(config) + gold_problems(config)
    if config.num_generations > 0 and config.rollout_size % config.num_generations:
        n, size = config.num_generations, config.rollout_size
        found.append(f"num_generations {n} must divide the {size} completions of a rollout")
    return found


def drawing_problems(config: Any) -> list[str]:
    """Of the settings that all recipes share which draw completions and score them."""
    from training import rewards

    found = []
    for name in ("num_generations", "max_completion_length", "temperature"):
        if getattr(config, name) <= 0:
            found.append(f"{name} must be above 0, not {getattr(config, name)}")
    if config.rollouts_kept < 0:
        found.append(f"rollouts_kept must not be negative, not {config.rollouts_kept}; 0 keeps none")
    if config.max_completion_length >= config.max_length:
        found.append(
            f"max_completion_length {config.max_completion_length} leaves no room for a prompt in max_length "
            f"{config.max_length}; lower the one or raise the other"
        )
    try:
        rewards.parse(config.rewards)
    except ValueError as error:
        found.append(f"rewards: {error}")
    return found
