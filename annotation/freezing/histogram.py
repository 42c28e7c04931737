"""Lay out one or two distributions as bars for a drawing of 640 by 180. Pure."""

from typing import Any

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 640, 180, 8, 22, 8


def histogram(chosen: list[list[int]], rejected: list[list[int]]) -> dict[str, Any]:
    """Bars side by side for [from, to, count] bins of both; shares of their side.

    >>> drawn = histogram([[4, 7, 3]], [[4, 7, 1], [8, 15, 1]])
    >>> [(bar["label"], bar["chosen"], bar["rejected"]) for bar in drawn["bars"]]
    [('4–7', 3, 1), ('8–15', 0, 1)]
    """
    counts = {(low, high): [0, 0] for low, high, _ in sorted(chosen + rejected)}
    for side, bins in enumerate((chosen, rejected)):
        for low, high, count in bins:
            counts[low, high][side] = count
    most = max((max(pair) for pair in counts.values()), default=0) or 1
    step = (WIDTH - 2 * LEFT) / max(len(counts), 1)
    bars = [bar(index, bin_, pair, most, step) for index, (bin_, pair) in enumerate(counts.items())]
    return {
        "bars": bars,
        "width": WIDTH,
        "height": HEIGHT,
        "floor": HEIGHT - BOTTOM,
        "bar_width": round(step * 0.38, 1),
    }


def single(bins: list[list[int]]) -> dict[str, Any]:
    """One series of [from, to, count] bins, each bar as wide as two.

    >>> [(bar["label"], bar["chosen"]) for bar in single([[1, 1, 3], [2, 2, 1]])["bars"]]
    [('1', 3), ('2', 1)]
    """
    drawn = histogram(bins, [])
    return drawn | {"bar_width": round(2.1 * drawn["bar_width"], 1)}


def bar(index: int, bin_: tuple[int, int], pair: list[int], most: int, step: float) -> dict[str, Any]:
    room, x = HEIGHT - BOTTOM - TOP, LEFT + index * step
    heights = [round(room * count / most, 1) for count in pair]
    low, high = bin_
    return {
        "label": f"{short(low)}–{short(high)}" if high > low else short(low),
        "tick": short(low),
        "chosen": pair[0],
        "rejected": pair[1],
        "x": round(x + step * 0.1, 1),
        "x2": round(x + step * 0.5, 1),
        "middle": round(x + step / 2, 1),
        "height": heights[0],
        "height2": heights[1],
        "y": round(HEIGHT - BOTTOM - heights[0], 1),
        "y2": round(HEIGHT - BOTTOM - heights[1], 1),
    }


def short(number: int) -> str:
    """
    >>> short(512), short(4096), short(65535)
    ('512', '4k', '64k')
    """
    return str(number) if number < 1024 else f"{round(number / 1024)}k"
