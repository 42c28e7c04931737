"""A reliability diagram as points of an SVG: how often steps are good, against how likely a source says they are."""

from dataclasses import dataclass
from typing import Any

LEFT, TOP, SIZE = 34, 8, 160
LARGEST, SMALLEST = 9.0, 2.0  # radius


@dataclass(frozen=True)
class Point:
    x: float
    y: float
    radius: float
    count: int
    said: float
    true: float


def reliability(calibration: dict[str, Any]) -> list[Point]:
    """A point a bin, its area in proportion to the steps in it.

    >>> [(p.x, p.y, p.radius) for p in reliability({"bins": [{"prob": 0.5, "label": 1.0, "count": 4}]})]
    [(114.0, 8.0, 9.0)]
    """
    bins = calibration["bins"]
    most = max((each["count"] for each in bins), default=1)
    return [
        Point(
            x=round(LEFT + SIZE * each["prob"], 1),
            y=round(TOP + SIZE * (1 - each["label"]), 1),
            radius=round(max(SMALLEST, LARGEST * (each["count"] / most) ** 0.5), 1),
            count=each["count"],
            said=each["prob"],
            true=each["label"],
        )
        for each in bins
    ]
