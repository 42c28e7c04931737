"""Where the seconds of a step go: drawing completions, rewards, learning, and all else, which is `other`."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

ASIDE = "aside"  # evaluating, sampling, saving: no part of a step


class Clock:
    """Every moment belongs to the innermost span that is open; within one that is aside, all is aside.

    >>> clock = Clock("cpu")
    >>> with clock("learn"):
    ...     with clock("draw"):
    ...         pass
    >>> spent = clock.lap()
    >>> list(spent), min(spent.values()) > 0
    (['time/draw', 'time/learn', 'time/other'], True)
    """

    def __init__(self, device: str) -> None:
        self.device, self.open = device, ["other"]
        self.begin()

    def begin(self) -> None:
        """Forget what was; spans that are open stay open."""
        self.spent: dict[str, float] = {}
        self.then = perf_counter()

    @contextmanager
    def __call__(self, what: str) -> Iterator[None]:
        """A span; decorates functions too."""
        self.turn()
        self.open.append(ASIDE if self.open[-1] == ASIDE else what)
        try:
            yield
        finally:
            self.wait()
            self.turn()
            self.open.pop()

    def turn(self) -> None:
        now, what = perf_counter(), self.open[-1]
        self.spent[what] = self.spent.get(what, 0.0) + now - self.then
        self.then = now

    def wait(self) -> None:
        """A GPU works on after it was told what to do."""
        if self.device == "cuda":
            import torch

            torch.cuda.synchronize()

    def lap(self, steps: int = 1) -> dict[str, float]:
        """Seconds a step since the last lap, of every kind there was so far; their sum is the step's."""
        self.turn()
        spent, self.spent = self.spent, dict.fromkeys(self.spent, 0.0)
        return {f"time/{name}": spent[name] / steps for name in sorted(spent) if name != ASIDE}
