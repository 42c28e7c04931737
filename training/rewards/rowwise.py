"""Make a reward function of TRL's signature from one that looks at a single completion and says why."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

Said = tuple[float | None, str]  # None: the reward does not apply
One = Callable[[str, dict[str, Any]], Said]


class RowWise:
    """`f(prompts, completions, **columns) -> list[float | None]`; `explained` gives the reasons too."""

    def __init__(self, one: One):
        self.one = one

    def __call__(self, prompts: Sequence[Any], completions: Sequence[Any], **columns: Any) -> list[float | None]:
        return [score for score, _ in self.explained(prompts, completions, **columns)]

    def explained(self, prompts: Sequence[Any], completions: Sequence[Any], **columns: Any) -> list[Said]:
        rows = rows_of(prompts, columns)
        return [self.one(text_of(said), row) for said, row in zip(completions, rows, strict=True)]


class Together(RowWise):
    """The same for one that judges many at a time."""

    def __init__(self, many: Callable[[list[str], list[dict[str, Any]]], list[Said]]):
        self.many = many

    def explained(self, prompts: Sequence[Any], completions: Sequence[Any], **columns: Any) -> list[Said]:
        return self.many([text_of(said) for said in completions], rows_of(prompts, columns))


def rows_of(prompts: Sequence[Any], columns: dict[str, Any]) -> list[dict[str, Any]]:
    """Columns as rows. What a trainer hands over beside columns (its state, say) is left out.

    >>> rows_of(["a", "b"], {"reference": ["1", None], "trainer_state": 7})
    [{'prompt': 'a', 'reference': '1'}, {'prompt': 'b', 'reference': None}]
    """
    lists = {name: values for name, values in columns.items() if is_column(values, len(prompts))}
    return [
        {"prompt": prompt} | {name: values[at] for name, values in lists.items()} for at, prompt in enumerate(prompts)
    ]


def is_column(values: Any, rows: int) -> bool:
    return isinstance(values, (list, tuple)) and len(values) == rows


def text_of(said: Any) -> str:
    """A completion's text, given as text or as messages."""
    if isinstance(said, str):
        return said
    content = said[-1].get("content") if said else ""
    if isinstance(content, list):  # content in blocks
        content = "".join(block.get("text", "") for block in content if isinstance(block, dict))
    return content or ""


def takes(function: Callable, name: str) -> bool:
    """Whether a function has a parameter of this name, or takes any."""
    parameters = inspect.signature(function).parameters.values()
    return any(one.name == name or one.kind is one.VAR_KEYWORD for one in parameters)
