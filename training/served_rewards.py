"""Learned rewards on the studio's side: the models a reward list names, asked through the model server."""

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any

from annotation.store import store
from training import serving
from training.models import ModelVersion
from training.rewards import Part, parse
from training.rewards.aggregating import aggregated, split
from training.rewards.rowwise import text_of

KINDS = {
    "reward_model": ("reward_model",),
    "orm": ("outcome_reward_model",),
    "prm": ("process_reward_model",),
}
SEPARATOR = "\n\n"


class NoSuchModel(ValueError):
    """A reward names a model that is not there, or is of another kind."""


def models_for(user: Any, name: str) -> Any:
    """Models a reward of this name may ask."""
    return ModelVersion.objects.visible_to(user).usable().filter(makes__in=KINDS[name], endpoint="").order_by("slug")


def problems(text: str, user: Any) -> list[str]:
    """What is wrong with a list beside its grammar: models that are missing, one sentence each."""
    found = []
    for part in parse(text):
        if part.name in KINDS:
            try:
                model_of(part.name, part.argument, user)
            except NoSuchModel as error:
                found.append(str(error))
    return found


def model_of(name: str, argument: str, user: Any) -> ModelVersion:
    known = models_for(user, name)
    if model := known.filter(slug=argument).first():
        return model
    there = ", ".join(known.values_list("slug", flat=True)[:8])
    wanted = KINDS[name][0].replace("_", " ")
    raise NoSuchModel(
        f"{name}:{argument}: there is no {wanted} of that name. " + (f"There are {there}." if there else "")
    )


def resolver(user: Any) -> Callable[[str, str], Callable[..., list[float | None]]]:
    """What Mix asks for a learned reward, with what this person may see."""

    def resolve(name: str, argument: str) -> Callable[..., list[float | None]]:
        model = model_of(name, argument, user)
        return process(model) if name == "prm" else Whole(model)

    return resolve


class Whole:
    """A score of each completion."""

    def __init__(self, model: ModelVersion):
        self.model = model

    def explained(self, prompts: Sequence[Any], completions: Sequence[Any], **columns: Any) -> list[tuple]:
        chats = [
            [*as_messages(prompt), {"role": "assistant", "content": text_of(said)}]
            for prompt, said in zip(prompts, completions, strict=True)
        ]
        return [(score, f"{self.model} says so.") for score in asyncio.run(serving.score(self.model, chats))]


def process(model: ModelVersion) -> Callable[..., list[tuple]]:
    """The steps' scores as one number; what is rewarded step by step is shown as its mean."""
    separator = separator_of(model)

    def reward(
        prompts: Sequence[Any], completions: Sequence[Any], aggregate: str = "min", **columns: Any
    ) -> list[tuple]:
        items = [
            {"messages": as_messages(prompt), "steps": split(text_of(said), separator)}
            for prompt, said in zip(prompts, completions, strict=True)
        ]
        scores = asyncio.run(serving.score_steps(model, items))
        return [(aggregated(steps, aggregate), told(steps)) for steps in scores]

    return reward


def told(steps: Sequence[float | None]) -> str:
    shown = ", ".join("–" if score is None else f"{score:.2f}" for score in steps[:40])
    return f"Its {len(steps)} steps: {shown}."


def separator_of(model: ModelVersion) -> str:
    """What the model was trained to see after each step; its config.json says it."""
    try:
        said = json.loads(store().fetch(f"{model.folder}/config.json").read_text())
    except (OSError, ValueError):
        return SEPARATOR
    return said.get("step_separator") or SEPARATOR


def as_messages(prompt: Any) -> list[dict]:
    return [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)


__all__ = ["NoSuchModel", "Part", "model_of", "models_for", "problems", "resolver"]
