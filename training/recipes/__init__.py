"""The recipes, one file an algorithm: `python -m training.recipes.NAME RUN_DIR` trains. Nothing heavy is imported."""

from importlib import import_module
from types import ModuleType
from typing import Any

RECIPES = {
    "sft": "training.recipes.sft",
    "reward_model": "training.recipes.reward_model",
    "dpo": "training.recipes.dpo",
}


def recipe(name: str) -> ModuleType:
    """The recipe's module: its docstring, DATA, MAKES, Config, PRESETS, problems and train. Imports no torch."""
    return import_module(RECIPES[name])


def config_fields(name: str) -> list[dict[str, Any]]:
    """What a launch form is built from: name, type, choices, optional, default, help and shared, for each setting."""
    from training.recipes.config import describe

    return describe(recipe(name).Config)
