"""Puzzles of reasoning-gym, where it is installed: as rows to import, and scored by its own code."""

import functools
import inspect
import re
from collections.abc import Iterator
from typing import Any

# A scorer that evaluates the answer would run what the model wrote, outside any sandbox.
EVALUATES = re.compile(r"\b(?:parse_expr|sympify|eval|exec|literal_eval_unsafe|compile)\s*\(")


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
    if EVALUATES.search(inspect.getsource(DATASETS[name][0].score_answer)):
        raise BadPuzzle(f"{name}: its scorer would evaluate the answer as code; such data sets are refused.")
    return create_dataset(name, size=1, seed=0)


def rows(name: str, count: int, seed: int = 0) -> Iterator[dict[str, Any]]:
    """Entries of a data set as rows to import."""
    from reasoning_gym.factory import create_dataset

    name = name.removeprefix("reasoning_gym:")
    scorer(name)
    for entry in create_dataset(name, size=count, seed=seed):
        puzzle = {"kind": "reasoning_gym", "dataset": name, "entry": entry}
        yield {"prompt": entry["question"], "reference": str(entry["answer"]), "metadata": {"puzzle": puzzle}}
