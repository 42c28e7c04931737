"""What rewards say of a sample of completions, in numbers for a page. Plain data in, plain data out."""

import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from training.rewards import Mix, Part, Scored

BINS = 12
REASONS = 3  # told of those that do not apply


def report(mix: Mix, items: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Every part by itself and all together; an item is {"prompt", "completion", "row", "group"}."""
    said = [item for item in items if item["completion"] is not None]
    scored, seconds = timed(mix, said) if said else ([], {})
    parts = {label: of_part(label, part, scored, seconds) for label, part in mix.parts.items()}
    totals = [one.total for one in scored if one.total is not None]
    found = {"completions": len(said), "parts": parts, "total": spread(totals), "none": len(scored) - len(totals)}
    if len(said) == 1:
        found["total"]["value"] = scored[0].total
    return found | {"groups": groups(said, scored)}


def timed(mix: Mix, items: Sequence[dict[str, Any]]) -> tuple[list[Scored], dict[str, float]]:
    """Scores, and the seconds that each part took for all of them."""
    names = dict.fromkeys(name for item in items for name in item["row"])
    columns = {name: [item["row"].get(name) for item in items] for name in names}
    seconds: dict[str, float] = {}
    ask = mix.ask

    def clocked(label: str, *arguments: Any) -> list[tuple]:
        begun = time.perf_counter()
        try:
            return ask(label, *arguments)
        finally:
            seconds[label] = time.perf_counter() - begun

    mix.ask = clocked
    try:
        prompts, completions = [item["prompt"] for item in items], [item["completion"] for item in items]
        return mix(prompts, completions, **columns), seconds
    finally:
        del mix.ask


def of_part(label: str, part: Part, scored: Sequence[Scored], seconds: dict[str, float]) -> dict[str, Any]:
    values = [one.parts[label] for one in scored if one.parts[label] is not None]
    missing = [one.why.get(label, "") for one in scored if one.parts[label] is None]
    found = {"weight": part.weight, "help": part.kind.help, "none": len(missing), **spread(values)}
    found["milliseconds"] = 1000 * seconds.get(label, 0.0) / len(scored) if scored else None
    found["reasons"] = [text for text, _ in Counter(missing).most_common(REASONS)]
    if len(scored) == 1:
        found |= {"value": scored[0].parts[label], "why": scored[0].why.get(label, "")}
    return found


def spread(values: Sequence[float]) -> dict[str, Any]:
    """
    >>> spread([0.0, 0.0, 1.0])["bins"], spread([2.0])["mean"], spread([])["mean"]
    ([[0.0, 0.0, 2], [1.0, 1.0, 1]], 2.0, None)
    """
    mean = sum(values) / len(values) if values else None
    return {"mean": mean, "low": min(values, default=None), "high": max(values, default=None), "bins": bins(values)}


def bins(values: Sequence[float]) -> list[list[float]]:
    """[from, to, count]: a bin for each value where there are few different ones, else bins of one width."""
    if len(different := sorted(set(values))) <= BINS:
        counts = Counter(values)
        return [[value, value, counts[value]] for value in different]
    low, high = different[0], different[-1]
    width = (high - low) / BINS
    counts = Counter(min(BINS - 1, int((value - low) / width)) for value in values)
    return [[low + at * width, low + (at + 1) * width, counts[at]] for at in range(BINS)]


def groups(items: Sequence[dict[str, Any]], scored: Sequence[Scored]) -> dict[str, int]:
    """Groups of two completions or more of one prompt, and those whose totals are all one: they teach nothing."""
    totals = defaultdict(list)
    for item, one in zip(items, scored, strict=True):
        if one.total is not None:
            totals[item.get("group")].append(one.total)
    of_some = [values for values in totals.values() if len(values) > 1]
    return {"groups": len(of_some), "flat": sum(max(values) - min(values) < 1e-9 for values in of_some)}
