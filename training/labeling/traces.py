"""Traces as the machines that label them see them, and what a machine says of one. Plain data."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Trace:
    """A solution step by step; `prompt` is the id of its prompt."""

    prompt: int
    messages: list[dict]
    steps: list[str]
    text: str
    reference: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)  # its own, else its problem's

    def prefix(self, steps: int, separator: str = "") -> str:
        r"""The solution up to and with so many steps and what divides them from the next: as written, or `separator`.

        >>> trace = Trace(1, [], ["1 + 1 = 2", "So 2"], "1 + 1 = 2\nSo 2")
        >>> trace.prefix(0), trace.prefix(1), trace.prefix(2), trace.prefix(1, "; ")
        ('', '1 + 1 = 2\n', '1 + 1 = 2\nSo 2', '1 + 1 = 2; ')
        """
        at = 0
        for step in self.steps[:steps]:
            found = self.text.find(step, at)
            if separator or found < 0:  # the text was edited apart from its steps
                return (separator or "\n\n").join([*self.steps[:steps], ""][: len(self.steps)])
            at = found + len(step)
        if not 0 < steps < len(self.steps):
            return self.text[:at]
        following = self.text.find(self.steps[steps], at)
        return self.text[: following if following >= 0 else at]


@dataclass
class Said:
    """What a machine says of a trace's steps; `unsaid` is why it says nothing, when it does."""

    ratings: list[int | None] = field(default_factory=list)
    scores: list[float | None] | None = None
    errors: list[float | None] | None = None
    notes: dict[str, str] = field(default_factory=dict)
    unsaid: str = ""
    cost: Counter = field(default_factory=Counter)  # completions, tokens, …: what the report adds up

    @property
    def empty(self) -> bool:
        return not any(value is not None for value in (*self.ratings, *(self.scores or ())))

    def fields(self) -> dict[str, Any]:
        """As StepLabels has them."""
        return {"ratings": self.ratings, "scores": self.scores, "errors": self.errors, "notes": self.notes}
