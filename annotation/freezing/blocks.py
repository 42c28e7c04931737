"""What every shape of frozen rows has to say: its options, the state of the labels it reads, its rows in blocks."""

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

from annotation.models import Project

COMMON = {"eval_share": 0.1, "seed": 42}


class NotFrozen(ValueError):
    """These labels and options make no dataset; the text says why, and what is needed."""


class Block(NamedTuple):
    """Rows that stay together: they go to one side of the split by their mark."""

    mark: str
    lines: list[str]
    done: int  # labels read for them


class Rows(Protocol):
    """One reading of a project's labels as rows of a shape."""

    def __init__(self, project: Project, options: dict[str, Any]): ...

    @staticmethod
    def checked(options: dict[str, Any]) -> dict[str, Any]:
        """The options, complete and sound; or NotFrozen."""

    def state(self) -> dict[str, Any]:
        """What is equal exactly when the labels are; NotFrozen where they are too few to begin with."""

    def total(self) -> int:
        """Labels to read, for the progress bar."""

    def blocks(self) -> Iterator[Block]:
        """The rows, in an order that the labels alone decide."""

    def summary(self) -> dict[str, Any]:
        """The report, with how many `prompts` and `rankings` (labels) became rows."""

    def too_few(self) -> str:
        """Why the rows of fewer than two prompts make no dataset."""

    def schema(self) -> Any:
        """The rows' columns, as pyarrow has them."""

    def labels_then(self, until: Any) -> int:
        """Labels given by that moment, those the options leave out too."""


def complete(options: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """The options with what they leave out; NotFrozen at an unknown one, or a share nobody can use."""
    if unknown := options.keys() - defaults.keys():
        raise NotFrozen(f"Unknown option {sorted(unknown)[0]!r}; known are {', '.join(defaults)}.")
    options = defaults | options
    if not 0.01 <= options["eval_share"] <= 0.5:
        raise NotFrozen("The share kept for evaluation should be between 1 % and 50 %.")
    return options


def one_of(options: dict[str, Any], name: str, known: dict[str, str]) -> None:
    if options[name] not in known:
        raise NotFrozen(f"{name} should be one of {', '.join(known)}.")
