"""Steps of a completion and one number for all of them."""

import math
from collections.abc import Sequence

HOW = {"min": min, "prod": math.prod, "last": lambda scores: scores[-1]}  # any other: the mean


def split(text: str, separator: str) -> list[str]:
    """Steps as a process reward model was shown them; a text without a separator is one step.

    >>> split("a;b;", ";"), split("a", ";")
    (['a', 'b'], ['a'])
    """
    return text.removesuffix(separator).split(separator)


def aggregated(scores: Sequence[float | None], how: str) -> float | None:
    """The worst step (Math-Shepherd), all of them multiplied (PRM800K), the last, or the mean.

    >>> [aggregated([0.5, 0.25, 0.75], how) for how in ("min", "prod", "last", "mean")], aggregated([], "min")
    ([0.25, 0.09375, 0.75, 0.5], None)
    """
    known = [score for score in scores if score is not None]
    if not known:
        return None
    return HOW[how](known) if how in HOW else sum(known) / len(known)
