"""The proving ground that benchmarks stand on: built once in PROVING_GROUND, or in a folder of its own."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from training.provingground.ground import Ground


@contextmanager
def standing() -> Iterator[Ground]:
    """A ground of size PROVING_GROUND_SIZE (full), kept in the folder PROVING_GROUND where that is set."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    size = os.environ.get("PROVING_GROUND_SIZE", "full")

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    if folder := os.environ.get("PROVING_GROUND"):
        yield Ground(folder, size, say)
    else:
        with tempfile.TemporaryDirectory() as folder:
            yield Ground(folder, size, say)


def rounded(values: tuple[float, ...] | list[float]) -> list[float]:
    return [round(value, 3) for value in values]
