"""A recipe's settings: the fields all recipes share, reading them from JSON or text, and what is wrong with them."""

import math
import types
import typing
from dataclasses import MISSING, dataclass, fields
from typing import Annotated, Any, Literal


class BadConfig(ValueError):
    """A setting that no training can start from. Its message names the setting and what to write instead."""


@dataclass
class Common:
    """What every recipe knows, in TRL's spelling. A recipe's Config adds its own and may change defaults."""

    learning_rate: Annotated[float, "peak learning rate"] = 1e-4
    max_steps: Annotated[int, "stop after this many optimiser steps; -1: num_train_epochs decides"] = -1
    num_train_epochs: Annotated[float, "passes over the training rows"] = 1.0
    per_device_train_batch_size: Annotated[int, "rows in one batch, on each device"] = 4
    gradient_accumulation_steps: Annotated[int, "batches added up before one optimiser step"] = 1
    max_length: Annotated[int, "longest row in tokens, prompt and completion together"] = 1024
    lora: Annotated[bool, "train a small adapter instead of every weight: less memory, faster"] = True
    lora_r: Annotated[int, "rank of the adapter: more is more room to change"] = 16
    lora_alpha: Annotated[int, "the adapter counts lora_alpha / lora_r times"] = 32
    lora_layers: Annotated[int, "adapt the last N layers only, which makes steps cheaper; 0: all layers"] = 0
    warmup_ratio: Annotated[float, "share of the steps in which the learning rate rises from zero"] = 0.1
    lr_scheduler_type: Annotated[
        Literal["linear", "cosine", "constant_with_warmup"], "how the learning rate falls after warm-up"
    ] = "cosine"
    weight_decay: Annotated[float, "pulls weights towards zero"] = 0.0
    max_grad_norm: Annotated[float, "gradients longer than this are scaled down to it"] = 1.0
    seed: Annotated[int, "same seed, same machine, same result"] = 42
    logging_steps: Annotated[int, "steps between two points on the curves"] = 1
    eval_on_start: Annotated[bool, "evaluate before the first step, to see what training changed"] = True
    eval_steps: Annotated[int, "steps between evaluations; 0: at the start and the end only"] = 0
    save_steps: Annotated[int, "steps between checkpoints a stopped training resumes from; 0: none"] = 50
    sample_every: Annotated[int, "steps between samples from the model; 0: none"] = 0
    samples: Annotated[int, "held-out prompts sampled each time"] = 2
    precision: Annotated[Literal["auto", "fp32", "bf16"], "arithmetic; auto: bf16 where it is fast"] = "auto"
    gradient_checkpointing: Annotated[
        Literal["auto", "on", "off"], "recompute instead of keeping activations; auto: only where memory needs it"
    ] = "auto"
    shared_prompts: Annotated[
        Literal["auto", "on", "off"], "pass a prompt once for all its completions in a batch; auto: where it is quicker"
    ] = "auto"
    save_precision: Annotated[
        Literal["fp32", "bf16"], "how weights are stored; bf16 halves the file but rounds small updates away"
    ] = "fp32"


POSITIVE = (
    "learning_rate", "num_train_epochs", "per_device_train_batch_size", "gradient_accumulation_steps",
    "max_length", "lora_r", "lora_alpha", "max_grad_norm", "logging_steps",
)  # fmt: skip
NOT_NEGATIVE = ("lora_layers", "weight_decay", "seed", "eval_steps", "save_steps", "sample_every", "samples")


def common_problems(config: Common) -> list[str]:
    """What is wrong with the shared settings, one sentence each. Recipes add their own in `problems`."""
    found = [f"{name} must be above 0, not {getattr(config, name)}" for name in POSITIVE if getattr(config, name) <= 0]
    found += [
        f"{name} must not be negative, not {getattr(config, name)}"
        for name in NOT_NEGATIVE
        if getattr(config, name) < 0
    ]
    if config.max_steps != -1 and config.max_steps <= 0:
        found.append(f"max_steps must be above 0, or -1 to let num_train_epochs decide, not {config.max_steps}")
    if not 0 <= config.warmup_ratio <= 1:
        found.append(f"warmup_ratio is a share of the steps: between 0 and 1, not {config.warmup_ratio}")
    if config.learning_rate > 0.1:
        found.append(f"learning_rate {config.learning_rate} is far too high; adapters learn well near 1e-4")
    return found


def read(config_class: type, settings: dict[str, Any]) -> Any:
    """Make a Config of what JSON said. Raises BadConfig naming every unknown or ill-typed setting at once."""
    known = {field["name"]: field for field in describe(config_class)}
    wrong = [f"{name} is not a setting of this recipe" for name in settings if name not in known]
    wrong += [
        f"{name} must be {wanted(known[name])}, not {value!r}"
        for name, value in settings.items()
        if name in known and not fits(known[name], value)
    ]
    if wrong:
        raise BadConfig("; ".join(wrong))
    floats = {name for name, field in known.items() if field["type"] == "float"}
    return config_class(**{k: float(v) if k in floats and v is not None else v for k, v in settings.items()})


def from_text(field: dict[str, Any], text: str) -> Any:
    """What a person typed into a form, or after `--set name=`, as the setting's own type. Raises BadConfig."""
    text = text.strip()
    if field["optional"] and text.lower() in {"", "none", "null"}:
        return None
    words = {"true": True, "on": True, "yes": True, "1": True, "false": False, "off": False, "no": False, "0": False}
    try:
        value = {"int": int, "float": float, "bool": lambda word: words[word.lower()]}.get(field["type"], str)(text)
    except (ValueError, KeyError):
        raise BadConfig(f"{field['name']} must be {wanted(field)}, not {text!r}") from None
    if not fits(field, value):
        raise BadConfig(f"{field['name']} must be {wanted(field)}, not {text!r}")
    return value


def describe(config_class: type) -> list[dict[str, Any]]:
    """The fields a launch form is built from, a recipe's own before the shared ones."""
    hints = typing.get_type_hints(config_class, include_extras=True)
    shared = {field.name for field in fields(Common)}
    rows = [_describe(field, hints[field.name]) | {"shared": field.name in shared} for field in fields(config_class)]
    return sorted(rows, key=lambda row: row["shared"])


def _describe(field: Any, hint: Any) -> dict[str, Any]:
    kind, text = typing.get_args(hint)[0], hint.__metadata__[0]
    optional = typing.get_origin(kind) in (typing.Union, types.UnionType)
    if optional:
        kind = next(part for part in typing.get_args(kind) if part is not type(None))
    choices = list(typing.get_args(kind)) if typing.get_origin(kind) is Literal else []
    default = field.default if field.default is not MISSING else None
    named = {"name": field.name, "type": "choice" if choices else kind.__name__, "help": text}
    return named | {"choices": choices, "optional": optional, "default": default}


def fits(field: dict[str, Any], value: Any) -> bool:
    if value is None:
        return field["optional"]
    if field["type"] == "choice":
        return value in field["choices"]
    if field["type"] == "float":
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if field["type"] == "int":
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, {"bool": bool, "str": str}[field["type"]])


def wanted(field: dict[str, Any]) -> str:
    if field["type"] == "choice":
        return "one of " + ", ".join(field["choices"])
    return {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "text"}[field["type"]]
