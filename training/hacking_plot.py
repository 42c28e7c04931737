"""A run's reward and its gold against √KL, with fitted curves, in SVG units. Plain data."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10, sqrt
from typing import Any

from training.hacking import Evaluation
from training.overoptimisation import FEWEST, Fit, NoFit, fit
from training.search_plot import mark

WIDTH, HEIGHT, SIDE, BOTTOM, TOP, RIGHT = 560, 320, 48, 42, 44, 16
MOST = 100  # evaluations drawn; the curves are fitted to all
SQUASHED = 1 / 3  # of an axis that both rewards share is the least the narrower one may fill
EXCURSION = 1.3  # times the distance of every later evaluation, or more
ROOM = 0.06  # above and below, as a share of what the values span
INTERVAL = 1.96  # standard errors: 95 %

Scale = Callable[[float], float]


@dataclass(frozen=True)
class Fitted:
    """A curve, or why there is none."""

    curve: Fit | None
    why: str = ""


def fitted(evaluations: Sequence[Evaluation], what: str, form: str) -> Fitted:
    """Of the evaluations that know their KL; `what` is reward or gold."""
    seen = stayed([one for one in evaluations if getattr(one, what) is not None])
    stderrs = [one.gold_stderr if what == "gold" else None for one in seen]
    try:
        return Fitted(fit([one.kl or 0.0 for one in seen], [getattr(one, what) for one in seen], stderrs, form))
    except NoFit as why:
        return Fitted(None, str(why))


def stayed(evaluations: Sequence[Evaluation]) -> list[Evaluation]:
    """Without excursions: where a few completions ran wild, the KL is far above what it is at every later evaluation,
    and says nothing of how far the policy was.

    >>> [one.step for one in stayed([Evaluation(step, 0.0, kl=kl) for step, kl in enumerate([0, 1, 9, 2, 4, 3])])]
    [0, 1, 3, 4, 5]
    """
    found: list[Evaluation] = []
    ahead = 0.0  # the largest distance that is still to come
    for one in reversed(evaluations):
        if not found or distance(one) <= EXCURSION * ahead:
            found.append(one)
            ahead = max(ahead, distance(one))
    return found[::-1] if len(found) >= FEWEST else list(evaluations)


def plot(
    evaluations: Sequence[Evaluation], reward: Fit | None, gold: Fit | None, best: int | None, label: str
) -> dict[str, Any]:
    """Points joined in the order of steps, curves, gold's peak, and the step whose model is `best`, said with `label`.

    The two rewards share an axis where neither is squashed by it; else gold has the left one and the reward the right.
    """
    peak = gold.peak if gold else None
    to_peak = peak.distance if peak else 0.0
    furthest = max(to_peak, *map(distance, evaluations))
    spans = {"reward": span([one.reward for one in evaluations])}
    if golds := [end for one in evaluations if one.gold is not None for end in interval(one)]:
        spans["gold"] = span([*golds, peak.reward] if peak else golds)
    shared = share(spans)
    right = RIGHT if shared or len(spans) == 1 else SIDE
    place_x = scale(0.0, furthest or 1.0, SIDE + 8, WIDTH - right - 8)
    places = {name: scale(*(shared or spans[name]), HEIGHT - BOTTOM - 4, TOP + 4) for name in spans}
    dots = [dot(one, place_x, places, one.step == best) for one in thinned(evaluations, best)]
    curves = {"reward": reward, "gold": gold}
    return {
        "width": WIDTH, "height": HEIGHT, "left": SIDE, "right": WIDTH - right, "top": TOP, "bottom": HEIGHT - BOTTOM,
        "across": WIDTH - right - SIDE, "down": HEIGHT - BOTTOM - TOP,
        "x": [{"x": place_x(at), "text": f"{at:g}"} for at in ticks(0.0, furthest or 1.0)],
        "axes": axes(spans, shared, places),
        "dots": dots,
        "ways": {name: way([(d["x"], d[name]["y"]) for d in dots if d.get(name)]) for name in places},
        "curves": {
            name: way([(place_x(d), places[name](r)) for d, r in curve.curve(max(curve.furthest, to_peak))])
            for name, curve in curves.items() if curve and name in places
        },
        "peak": {"x": place_x(peak.distance), "y": places["gold"](peak.reward)} if peak else None,
        "label": label,
        "keys": {"reward": mark("circle", 8, 8), "gold": mark("diamond", 8, 8)},
    }  # fmt: skip


def distance(evaluation: Evaluation) -> float:
    """√KL, in √nats; an estimate below 0 counts as 0."""
    return sqrt(max(0.0, evaluation.kl or 0.0))


def interval(evaluation: Evaluation) -> tuple[float, float]:
    """Gold's, of 95 %."""
    half, gold = INTERVAL * (evaluation.gold_stderr or 0.0), evaluation.gold or 0.0
    return gold - half, gold + half


def dot(one: Evaluation, place_x: Scale, places: dict[str, Scale], best: bool) -> dict[str, Any]:
    x, y = place_x(distance(one)), places["reward"](one.reward)
    found = {
        "of": one,
        "distance": distance(one),
        "x": x,
        "best": best,
        "reward": {"y": y, "mark": mark("circle", x, y)},
    }
    if one.gold is not None:
        y = places["gold"](one.gold)
        low, high = (places["gold"](end) for end in interval(one))
        found["gold"] = {"y": y, "low": low, "high": high, "mark": mark("diamond", x, y)}
    return found


def thinned(evaluations: Sequence[Evaluation], best: int | None) -> list[Evaluation]:
    """
    >>> kept = thinned([Evaluation(step, 0.0) for step in range(1000)], best=333)
    >>> len(kept) <= MOST + 1, kept[0].step, kept[-1].step, 333 in [one.step for one in kept]
    (True, 0, 999, True)
    """
    every = max(1, ceil((len(evaluations) - 1) / (MOST - 1)))
    last = len(evaluations) - 1
    return [one for at, one in enumerate(evaluations) if at % every == 0 or at == last or one.step == best]


def way(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points) if points else ""


def scale(low: float, high: float, start: float, end: float) -> Scale:
    return lambda value: start + (end - start) * (value - low) / (high - low)


def span(values: Sequence[float]) -> tuple[float, float]:
    """Around the values, with room for a curve that leaves them a little; never empty.

    >>> span([0.0, 1.0]), span([0.5, 0.5])
    ((-0.06, 1.06), (0.25, 0.75))
    """
    low, high = min(values), max(values)
    room = ROOM * (high - low) if high - low > 1e-9 * max(abs(low), abs(high)) else abs(high) / 2 or 1.0
    return low - room, high + room


def share(spans: dict[str, tuple[float, float]]) -> tuple[float, float] | None:
    """The span of one axis for all, where each fills enough of it.

    >>> share({"reward": (0.2, 0.9), "gold": (0.1, 0.6)}), share({"reward": (1.0, 8.0), "gold": (0.1, 0.6)})
    ((0.1, 0.9), None)
    """
    low, high = min(low for low, _ in spans.values()), max(high for _, high in spans.values())
    narrowest = min(high - low for low, high in spans.values())
    return (low, high) if narrowest >= SQUASHED * (high - low) else None


def axes(
    spans: dict[str, tuple[float, float]], shared: tuple[float, float] | None, places: dict[str, Scale]
) -> list[dict[str, Any]]:
    """One for both, or gold's with the lines across and the reward's beside it."""
    if shared or len(spans) == 1:
        name = next(iter(places))
        return [axis("both" if len(spans) > 1 else name, shared or spans[name], places[name])]
    return [axis(name, spans[name], places[name]) for name in ("gold", "reward")]


def axis(name: str, limits: tuple[float, float], place: Scale) -> dict[str, Any]:
    return {"of": name, "ticks": [{"y": place(value), "text": f"{value:g}"} for value in ticks(*limits)]}


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers between two, about so many.

    >>> ticks(0.0, 3.2), ticks(0.13, 0.61), ticks(-2.0, 11.0), ticks(1.02, 1.04)
    ([0.0, 1.0, 2.0, 3.0], [0.2, 0.3, 0.4, 0.5, 0.6], [0.0, 5.0, 10.0], [1.02, 1.025, 1.03, 1.035, 1.04])
    """
    rough = (high - low) / about
    power = 10.0 ** floor(log10(rough))
    step = next(nice * power for nice in (1, 2, 5, 10) if nice * power >= rough * 0.999)
    return [float(f"{at * step:.6g}") for at in range(ceil(low / step - 1e-9), floor(high / step + 1e-9) + 1)]
