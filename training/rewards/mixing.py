"""Score completions by a weighted list, and trust no part of it: failures are named, and never become a number.

The rules. A part that says None does not apply, and the total is made of the others. A part that fails (raises, takes
too long, says NaN) leaves those completions without a total, so that nobody learns from what is left: a completion that
breaks a check gains nothing. Failing three times running ends the run, and so does, at once, a part that returns
something else than one number or None for each completion.
"""

import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from training.rewards.parts import Part
from training.sandbox import NoSandbox

PATIENCE = 600.0  # seconds one part may take for all completions of a step
FORGIVEN = 2  # failures in a row that end nothing

Resolve = Callable[[str, str], Callable[..., list[float | None]]]


class RewardFailed(RuntimeError):
    """A reward that cannot be relied on; the text names it and says what it did."""


class Unreliable(Exception):
    """A part failed this time."""


@dataclass
class Scored:
    """The weighted sum of what applies (None: nothing does, or a part failed), every part's own number, and why."""

    total: float | None
    parts: dict[str, float | None]
    why: dict[str, str] = field(default_factory=dict)


class Mix:
    """Call it like a reward function of TRL's: it returns a Scored for each completion."""

    def __init__(self, parts: Sequence[Part], resolve: Resolve | None = None, patience: float = PATIENCE):
        self.parts = dict(zip(labels(parts), parts, strict=True))
        self.functions = {label: function_of(part, resolve) for label, part in self.parts.items()}
        self.patience = patience
        self.failures = dict.fromkeys(self.parts, 0)
        self.stuck: dict[str, threading.Thread] = {}

    def __call__(self, prompts: Sequence[Any], completions: Sequence[Any], **columns: Any) -> list[Scored]:
        if len(prompts) != len(completions):
            raise ValueError(f"{len(prompts)} prompts but {len(completions)} completions")
        said = {label: self.ask(label, prompts, completions, columns) for label in self.parts}
        weights = {label: part.weight for label, part in self.parts.items()}
        return [summed({label: answers[at] for label, answers in said.items()}, weights) for at in range(len(prompts))]

    def ask(self, label: str, prompts: Sequence[Any], completions: Sequence[Any], columns: dict) -> list[tuple]:
        """What one part says of each completion: (number or None, why, whether it failed)."""
        try:
            found = self.in_time(label, prompts, completions, columns)
        except Unreliable as error:
            self.failures[label] += 1
            if self.failures[label] > FORGIVEN:
                raise RewardFailed(f"The reward {label} {error}, {self.failures[label]} times in a row.") from error
            return [(None, f"Failed: it {error}.", True)] * len(prompts)
        checked = [number(label, value, why) for value, why in shaped(label, found, len(prompts))]
        self.failures[label] = 0
        return checked

    def in_time(self, label: str, prompts: Sequence[Any], completions: Sequence[Any], columns: dict) -> Any:
        """Call the part beside this thread, which goes on without it when it takes too long."""
        if (thread := self.stuck.get(label)) and thread.is_alive():
            raise Unreliable("has not come back from an earlier call")
        outcome: dict[str, Any] = {}

        def work() -> None:
            try:
                outcome["said"] = call(self.functions[label], self.parts[label], prompts, completions, columns)
            except BaseException as error:
                outcome["error"] = error

        thread = threading.Thread(target=work, name=f"reward {label}", daemon=True)
        thread.start()
        thread.join(self.patience)
        if thread.is_alive():
            self.stuck[label] = thread
            raise Unreliable(f"took more than {self.patience:g} s")
        error = outcome.get("error")
        if isinstance(error, NoSandbox):
            raise error
        if error is not None:
            raise Unreliable(f"raised {type(error).__name__}: {str(error)[:300].rstrip('.')}") from error
        return outcome["said"]


def labels(parts: Sequence[Part]) -> list[str]:
    """A name for each part; a second one of the same name is numbered.

    >>> labels([Part("regex"), Part("math"), Part("regex")])
    ['regex', 'math', 'regex#2']
    """
    found: list[str] = []
    for part in parts:
        before = sum(other.partition("#")[0] == part.label for other in found)
        found.append(f"{part.label}#{before + 1}" if before else part.label)
    return found


def function_of(part: Part, resolve: Resolve | None) -> Callable[..., Any]:
    if not part.kind.learned:
        return part.kind(part.argument, **part.options)
    if resolve is None:
        raise RewardFailed(f"The reward {part.label} needs a model or a service, and there is nothing here to ask.")
    return resolve(part.name, part.argument)


def call(function: Callable, part: Part, prompts: Sequence[Any], completions: Sequence[Any], columns: dict) -> Any:
    """With reasons where the function gives some. A model's options go to it with the call."""
    if hasattr(function, "explained"):
        return function.explained(prompts, completions, **columns)
    options = part.options if part.kind.learned else {}
    return function(prompts, completions, **{**columns, **options})


def shaped(label: str, found: Any, wanted: int) -> list[tuple[Any, str]]:
    """One (value, reason) for each completion."""
    if isinstance(found, str) or not hasattr(found, "__len__") or not hasattr(found, "__iter__"):
        raise RewardFailed(f"The reward {label} returned a {type(found).__name__}, not a list of numbers.")
    if len(found) != wanted:
        raise RewardFailed(f"The reward {label} returned {len(found)} values for {wanted} completions.")
    return [value if isinstance(value, tuple) and len(value) == 2 else (value, "") for value in found]


def number(label: str, value: Any, why: str) -> tuple[float | None, str, bool]:
    if value is None:
        return None, why or "Does not apply.", False
    if isinstance(value, (str, bytes)):
        raise RewardFailed(f"The reward {label} returned the text {value!r:.60}, not a number.")
    try:
        value = float(value)
    except (TypeError, ValueError):
        raise RewardFailed(f"The reward {label} returned a {type(value).__name__}, not a number.") from None
    if not math.isfinite(value):
        return None, f"Failed: it is {value}, which is no reward.", True
    return value, why, False


def summed(said: dict[str, tuple], weights: dict[str, float]) -> Scored:
    """
    >>> summed({"a": (1.0, "", False), "b": (None, "no", False)}, {"a": 0.5, "b": 2.0}).total
    0.5
    >>> summed({"a": (1.0, "", False), "b": (None, "NaN", True)}, {"a": 0.5, "b": 2.0}).total is None
    True
    """
    values = {label: value for label, (value, _, _) in said.items()}
    applying = [weights[label] * value for label, value in values.items() if value is not None]
    failed = any(broken for _, _, broken in said.values())
    total = sum(applying) if applying and not failed else None
    return Scored(total, values, {label: why for label, (_, why, _) in said.items() if why})
