"""Accuracy against N or tokens as lines with their intervals, in SVG units. Plain data."""

from collections.abc import Callable, Sequence
from math import log2
from typing import Any

from training.search_curves import Point

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 520, 300, 44, 34, 10, 14
MARKS = ("circle", "square", "triangle", "diamond", "cross", "star")  # a shape a strategy: colour never stands alone
NAMES = {"n": "N", "tokens": "tokens a problem"}


def plot(points: Sequence[Point], along: str) -> dict[str, Any]:
    """Lines of points along `n` or `tokens`, on a scale of doublings, with ticks on both axes."""
    place_x, ticks_x = across([getattr(point, along) for point in points])
    low, high = bounds([point.low for point in points], [point.high for point in points])

    def place_y(share: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (1 - (share - low) / (high - low))

    names = list(dict.fromkeys(point.strategy for point in points))
    lines = [
        line(name, at, [p for p in points if p.strategy == name], along, place_x, place_y)
        for at, name in enumerate(names)
    ]
    ticks_y = [{"y": place_y(share), "share": share} for share in tenths(low, high)]
    area = {"left": LEFT, "right": WIDTH - RIGHT, "bottom": HEIGHT - BOTTOM, "top": TOP}
    size = {"width": WIDTH, "height": HEIGHT, "axis": NAMES[along], "area": area}
    return size | {"lines": lines, "x": ticks_x, "y": ticks_y}


def line(
    name: str,
    at: int,
    points: Sequence[Point],
    along: str,
    place_x: Callable[[float], float],
    place_y: Callable[[float], float],
) -> dict[str, Any]:
    dots = [
        {
            "x": place_x(getattr(point, along)),
            "y": place_y(point.accuracy),
            "low": place_y(point.low),
            "high": place_y(point.high),
            "point": point,
            "mark": mark(MARKS[at % len(MARKS)], place_x(getattr(point, along)), place_y(point.accuracy)),
        }
        for point in sorted(points, key=lambda point: getattr(point, along))
    ]
    return {
        "strategy": name,
        "color": f"run{at % 8 + 1}",
        "key": mark(MARKS[at % len(MARKS)], 8, 8),
        "dots": dots,
        "d": "M" + "L".join(f"{dot['x']:.1f} {dot['y']:.1f}" for dot in dots),
    }


def across(values: Sequence[float]) -> tuple[Callable[[float], float], list[dict[str, Any]]]:
    """A scale of doublings over the values, and its ticks: the values themselves where they are few, else doublings."""
    first, last = log2(max(min(values), 1)), log2(max(max(values), 1))
    span = (last - first) or 1.0

    def place(value: float) -> float:
        return LEFT + 10 + (WIDTH - LEFT - RIGHT - 20) * (log2(max(value, 1)) - first) / span

    known = sorted({int(value) for value in values if value == int(value)})
    marks = known if len(known) <= 7 and len(known) == len(set(values)) else doublings(first, last)
    return place, [{"x": place(value), "value": value} for value in marks]


def doublings(first: float, last: float) -> list[int]:
    """Round numbers between two exponents of 2, at most seven.

    >>> doublings(log2(100), log2(3000))
    [128, 256, 512, 1024, 2048]
    """
    found = [2**k for k in range(int(first), int(last) + 1) if first <= k <= last] or [round(2**first)]
    return found[:: max(1, -(-len(found) // 7))]


def bounds(lows: Sequence[float], highs: Sequence[float]) -> tuple[float, float]:
    """Tenths around the intervals, at least a fifth apart.

    >>> bounds([0.42], [0.61]), bounds([1.0], [1.0])
    ((0.4, 0.7), (0.8, 1.0))
    """
    low, high = int(min(lows) * 10) / 10, min(1.0, (int(max(highs) * 10 - 1e-9) + 1) / 10)
    return (low, high) if high - low >= 0.2 - 1e-9 else (round(max(0.0, high - 0.2), 1), max(high, 0.2))


def tenths(low: float, high: float) -> list[float]:
    """Every tenth between two, or every fifth where there are many.

    >>> tenths(0.3, 0.6), tenths(0.0, 1.0)
    ([0.3, 0.4, 0.5, 0.6], [0.0, 0.2, 0.4, 0.6, 0.8, 1.0])
    """
    first, last = round(low * 10), round(high * 10)
    return [k / 10 for k in range(first, last + 1) if last - first <= 5 or k % 2 == 0]


def mark(kind: str, x: float, y: float, r: float = 4.5) -> str:
    """A path around a point, of a shape of its own."""
    w = 1.6  # half the width of an arm
    corners = {
        "square": [(-r, -r), (r, -r), (r, r), (-r, r)],
        "triangle": [(0, -r * 1.2), (r * 1.1, r), (-r * 1.1, r)],
        "diamond": [(0, -r * 1.3), (r * 1.3, 0), (0, r * 1.3), (-r * 1.3, 0)],
        "cross": [(-r, -w), (-w, -w), (-w, -r), (w, -r), (w, -w), (r, -w)],
        "star": [(-r * 1.4, 0), (-w, -w), (0, -r * 1.4), (w, -w)],
    }
    corners["cross"] += [(-x, -y) for x, y in corners["cross"]]
    corners["star"] += [(-x, -y) for x, y in corners["star"]]
    if kind == "circle":
        return f"M{x - r:.1f} {y:.1f}a{r} {r} 0 1 0 {2 * r} 0a{r} {r} 0 1 0 {-2 * r} 0Z"
    return "M" + "L".join(f"{x + dx:.1f} {y + dy:.1f}" for dx, dy in corners[kind]) + "Z"
