"""Puzzles of reasoning-gym, where it is installed: as rows to import, and scored by its own code."""

import functools
import inspect
import re
from collections.abc import Iterator
from typing import Any

# Such a scorer could run what a model, or a data file, wrote, outside any sandbox. sympy evaluates the texts it reads.
EVALUATES = re.compile(r"(?<![\w.])(?:eval|exec|compile)\s*\(|\bsympy\b|\bpickle\b")


def check(puzzle: dict[str, Any], answer: str) -> tuple[float | None, str]:
    """The score reasoning-gym gives, from 0 to 1. Raises BadPuzzle."""
    from training.puzzles import BadPuzzle

    entry = puzzle.get("entry")
    if not isinstance(entry, dict) or not {"question", "answer"} <= entry.keys():
        raise BadPuzzle("A puzzle of reasoning-gym needs its entry, with question, answer and metadata.")
    score = float(scorer(str(puzzle.get("dataset"))).score_answer(answer, entry))
    return score, "Solved." if score == 1 else f"reasoning-gym gives it {score:g}."


@functools.cache
def scorer(name: str) -> Any:
    """A data set of reasoning-gym whose scorer is safe to call on what a model wrote."""
    from training.puzzles import BadPuzzle

    try:
        from reasoning_gym.factory import DATASETS, create_dataset
    except ImportError:
        raise BadPuzzle("reasoning-gym is not installed: pip install 'alignment-studio[logic]'.") from None
    if name not in DATASETS:
        raise BadPuzzle(f"reasoning-gym has no data set {name!r}.")
    if evaluates(DATASETS[name][0]):
        raise BadPuzzle(f"{name}: its scorer may evaluate text as code; such data sets are refused.")
    return create_dataset(name, size=1, seed=0)


def evaluates(kind: type) -> bool:
    """Whether a data set scores by code of its own that might evaluate text; comparing texts is the base's."""
    return "score_answer" in vars(kind) and bool(EVALUATES.search(inspect.getsource(inspect.getmodule(kind))))


def rows(name: str, count: int, seed: int = 0) -> Iterator[dict[str, Any]]:
    """Entries of a data set as rows to import."""
    from reasoning_gym.factory import create_dataset

    name = name.removeprefix("reasoning_gym:")
    scorer(name)
    for entry in create_dataset(name, size=count, seed=seed):
        puzzle = {"kind": "reasoning_gym", "dataset": name, "entry": entry}
        yield {"prompt": entry["question"], "reference": str(entry["answer"]), "metadata": {"puzzle": puzzle}}
