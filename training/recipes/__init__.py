"""The recipes, one file an algorithm: `python -m training.recipes.NAME RUN_DIR` trains. Nothing heavy is imported."""

from importlib import import_module
from types import ModuleType
from typing import Any

RECIPES = {
    "sft": "training.recipes.sft",
    "reward_model": "training.recipes.reward_model",
    "dpo": "training.recipes.dpo",
    "prm": "training.recipes.prm",
    "orm": "training.recipes.orm",
    "ppo": "training.recipes.ppo",
    "grpo": "training.recipes.grpo",
    "rloo": "training.recipes.rloo",
    "online_dpo": "training.recipes.online_dpo",
    "best_of_n": "training.recipes.best_of_n",
}


def recipe(name: str) -> ModuleType:
    """The recipe's module: its docstring, DATA, MAKES, Config, PRESETS, problems and train. Imports no torch."""
    return import_module(RECIPES[name])


def source_of(data: str) -> ModuleType:
    """The module that reads rows of this kind, and says which are trained on."""
    sources = {"stepwise": "traces", "outcome": "traces", "prompts": "prompts"}
    return import_module(f"training.recipes.{sources.get(data, 'rows')}")


def shapes_for(name: str) -> set[str]:
    """Shapes of frozen datasets whose rows the recipe reads; imitation takes the chosen side of pairs."""
    data = recipe(name).DATA
    return {"pairs", data} if data == "sft" else {data}


def bases_for(name: str) -> set[str]:
    """What a model must make to be trained further by the recipe: a policy, or what a scorer of steps makes itself."""
    module = recipe(name)
    return {"policy", module.MAKES} if module.DATA in {"stepwise", "outcome"} else {"policy"}


def config_fields(name: str) -> list[dict[str, Any]]:
    """What a launch form is built from: name, type, choices, optional, default, help and shared, for each setting."""
    from training.recipes.config import describe

    return describe(recipe(name).Config)
