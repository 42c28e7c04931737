"""The kinds of machines that label steps: a new one is a module and a line here."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from math import isfinite
from typing import Any, Protocol

from annotation.models import Project
from training.labeling.traces import Said, Trace
from training.models import ModelVersion, StepLabelRun

KINDS = {
    "monte-carlo": "training.labeling.monte_carlo",
    "verifier": "training.labeling.by_verifier",
    "model": "training.labeling.by_model",
    "consensus": "training.labeling.consensus",
}


class BadLabeling(ValueError):
    """This cannot be labeled so; `field` is the setting to change, "" when it is none of them."""

    def __init__(self, message: str, field: str = ""):
        super().__init__(message)
        self.field = field


@dataclass(frozen=True)
class Setting:
    """One setting of a kind: its default tells its type; `choices` maps values to words."""

    label: str
    default: Any
    help: str = ""
    least: float | None = None
    most: float | None = None
    choices: dict[str, str] | None = None
    many: bool = False  # several of the choices, which the project gives (sources)
    folded: bool = False  # shown among the other settings, which are folded away


Known = Callable[[dict], Awaitable[None]]  # keeps what is known of a trace that is not finished


class Kind(Protocol):
    """What a module of a kind holds."""

    TITLE: str  # on its tab
    ABOUT: str  # a sentence for people
    MAKES: tuple[str, ...]  # models that can do it; empty: it needs none
    GROUP: int  # traces labeled in one go
    AT_ONCE: int  # groups under way
    SETTINGS: dict[str, Setting]

    def name(self, model: ModelVersion | None, settings: dict) -> str: ...

    def check(self, project: Project, model: ModelVersion | None, settings: dict) -> None: ...

    def needs_reference(self, settings: dict) -> bool: ...

    async def label(self, run: StepLabelRun, group: list[Trace], known: dict, keep: Known) -> list[Said]: ...


def kind(name: str) -> Kind:
    if name not in KINDS:
        raise BadLabeling(f"There is no kind {name!r}; choose one of {', '.join(KINDS)}.", "kind")
    return import_module(KINDS[name])


def resolved(of: Kind, given: dict[str, Any]) -> dict[str, Any]:
    """Every setting with its value. Raises BadLabeling naming the one that is wrong."""
    if unknown := set(given) - set(of.SETTINGS):
        words = ", ".join(sorted(unknown))
        raise BadLabeling(f"{words}: no such setting; there are {', '.join(of.SETTINGS)}.", min(unknown))
    return {name: value_of(name, setting, given.get(name)) for name, setting in of.SETTINGS.items()}


def value_of(name: str, setting: Setting, value: Any) -> Any:
    """
    >>> value_of("n", Setting("Completions", 8, least=1), "4"), value_of("seed", Setting("Seed", 0), None)
    (4, 0)
    """
    if value is None or value == "":
        return setting.default
    if setting.many:
        if not isinstance(value, (list, tuple)):
            raise BadLabeling(f"{setting.label} is {value!r:.40}; it should be a list.", name)
        return [str(each) for each in value]
    value = typed(name, setting, value)
    if setting.choices and value not in setting.choices:
        raise BadLabeling(f"{setting.label} is {value!r:.40}; choose one of {', '.join(setting.choices)}.", name)
    low, high = setting.least, setting.most
    if (low is not None and value < low) or (high is not None and value > high):
        bounds = f"from {low} to {high}" if high is not None else f"{low} or more"
        raise BadLabeling(f"{setting.label} is {value}; it should be {bounds}.", name)
    return value


def typed(name: str, setting: Setting, value: Any) -> Any:
    """The value as its default's type has it; text may write a number, a number is not cut to fit."""
    kind = type(setting.default)
    if kind is str and isinstance(value, str):
        return value
    if kind is not str and isinstance(value, (int, float, str)) and not isinstance(value, bool):
        with suppress(ValueError, OverflowError):
            made = kind(value)
            if (isinstance(value, str) or made == value) and (kind is int or isfinite(made)):
                return made
    what = {str: "text", int: "a whole number", float: "a number"}[kind]
    raise BadLabeling(f"{setting.label} is {value!r:.40}; it should be {what}.", name)
