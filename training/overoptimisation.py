"""How far a learned reward can be trusted: Gao's curves of a reward over √KL, fitted. Plain numbers in and out.

Let d = √KL(π‖π_init), KL in nats a completion. As a policy is optimised for a proxy, the proxy and the gold reward it
stands for, both measured from where they start, follow

    R(d) = d (α − β log d)    by reinforcement learning,
    R(d) = d (α − β d)        by best of n:

they rise with α, and β bends them down again. Both are linear in α and β, so least squares has a closed form. The start
is a measurement with noise like the others: it is the third number fitted, not taken from the first point.

Source: Gao, Schulman and Hilton 2022, "Scaling laws for reward model overoptimization", https://arxiv.org/abs/2210.10760
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import exp, fsum, log, sqrt
from statistics import median

FEWEST = 4  # points: three numbers are fitted
NARROW = 0.1  # distances that differ by less, as a share of the largest, say nothing about a curve
REACH = 1.5  # a peak further off than this times the largest distance is a guess, not a finding
SURE = 2.0  # standard errors that β must lie above 0 before a peak is named

BENDS: dict[str, Callable[[float], float]] = {
    "rl": lambda d: d * log(d) if d > 0 else 0.0,
    "best_of_n": lambda d: d * d,
}


class NoFit(ValueError):
    """These points do not make a curve; the message says why."""


@dataclass(frozen=True)
class Peak:
    """Where the curve is highest: the distance in √nats, the reward there, and whether no point lies so far yet."""

    distance: float
    reward: float
    beyond: bool


@dataclass(frozen=True)
class Fit:
    """A curve start + d (α − β log d), or start + d (α − β d)."""

    form: str
    alpha: float
    beta: float
    start: float  # the reward where KL is 0
    beta_stderr: float
    residual: float  # root mean square of what the curve leaves over, in the reward's unit
    nearest: float  # the smallest and
    furthest: float  # the largest distance fitted, in √nats

    def at(self, distance: float) -> float:
        return self.start + self.alpha * distance - self.beta * BENDS[self.form](distance)

    def curve(self, until: float, count: int = 60) -> list[tuple[float, float]]:
        """(d, R) of so many points from the nearest distance fitted to `until`."""
        steps = [self.nearest + (until - self.nearest) * at / (count - 1) for at in range(count)]
        return [(distance, self.at(distance)) for distance in steps]

    @property
    def peak(self) -> Peak | None:
        """None where the curve does not bend down beyond its noise, or would do so only far outside the points."""
        if self.beta <= SURE * self.beta_stderr or self.beta <= 0:
            return None
        power = self.alpha / self.beta - 1
        distance = exp(min(power, 700.0)) if self.form == "rl" else self.alpha / (2 * self.beta)
        if not 0 < distance <= REACH * self.furthest:
            return None
        return Peak(distance, self.at(distance), beyond=distance > self.furthest)


def fit(kls: Sequence[float], rewards: Sequence[float], stderrs: Sequence[float | None] = (), form: str = "rl") -> Fit:
    """The least-squares curve through rewards at these KLs (nats a completion; estimates below 0 count as 0).

    A point weighs 1/stderr²; one without a standard error, or with 0, takes the median of the others'. Raises NoFit.

    >>> found = fit([d * d for d in (0, 1, 2, 4, 8)], [3 + d * (2 - 0.8 * log(d or 1)) for d in (0, 1, 2, 4, 8)])
    >>> round(found.alpha, 6), round(found.beta, 6), round(found.start, 6), found.residual < 1e-9
    (2.0, 0.8, 3.0, True)
    >>> round(found.peak.distance, 3), round(found.peak.reward, 3), found.peak.beyond  # exp(α/β − 1), start + β d
    (4.482, 6.585, False)
    >>> found = fit([0, 1, 4, 16], [0, 0.9, 1.6, 2.4], form="best_of_n")
    >>> round(found.alpha, 6), round(found.beta, 6), round(found.peak.distance, 6), found.peak.beyond
    (1.0, 0.1, 5.0, True)
    >>> fit([0, 1, 4], [0, 1, 2])
    Traceback (most recent call last):
    training.overoptimisation.NoFit: a curve needs at least 4 evaluations, and there are 3
    """
    distances = [sqrt(max(0.0, kl)) for kl in kls]
    check(distances)
    weights = weigh(stderrs or [None] * len(distances))
    bends = [BENDS[form](distance) for distance in distances]
    mean_d, mean_b, mean_r = (average(values, weights) for values in (distances, bends, rewards))
    along, bent, up = ([v - m for v in of] for of, m in ((distances, mean_d), (bends, mean_b), (rewards, mean_r)))

    def product(a: Sequence[float], b: Sequence[float]) -> float:
        return fsum(w * x * y for w, x, y in zip(weights, a, b, strict=True))

    aa, ab, bb = product(along, along), product(along, bent), product(bent, bent)
    determinant = aa * bb - ab * ab
    if determinant <= 1e-10 * aa * bb:
        raise NoFit("the evaluations lie at too few different KLs for a curve")
    alpha = (bb * product(along, up) - ab * product(bent, up)) / determinant
    beta = (ab * product(along, up) - aa * product(bent, up)) / determinant
    left = [y - alpha * x + beta * b for x, b, y in zip(along, bent, up, strict=True)]
    noise = product(left, left) / (len(left) - 3)  # the variance of a point of weight 1
    return Fit(
        form, alpha, beta, mean_r - alpha * mean_d + beta * mean_b, sqrt(noise * aa / determinant),
        sqrt(product(left, left) / fsum(weights)), min(distances), max(distances),
    )  # fmt: skip


def check(distances: Sequence[float]) -> None:
    """Enough points, far enough apart. Raises NoFit."""
    if len(distances) < FEWEST:
        raise NoFit(f"a curve needs at least {FEWEST} evaluations, and there are {len(distances)}")
    if max(distances) - min(distances) <= NARROW * max(distances):
        raise NoFit("the KL of the evaluations hardly differs: the policy has not moved far enough for a curve")


def weigh(stderrs: Sequence[float | None]) -> list[float]:
    """
    >>> weigh([0.5, None, 1.0, 0.0])
    [4.0, 1.7777777777777777, 1.0, 1.7777777777777777]
    >>> weigh([None, None])
    [1.0, 1.0]
    """
    known = [stderr for stderr in stderrs if stderr]
    usual = median(known) if known else 1.0
    return [1 / (stderr or usual) ** 2 for stderr in stderrs]


def average(values: Sequence[float], weights: Sequence[float]) -> float:
    return fsum(w * v for w, v in zip(weights, values, strict=True)) / fsum(weights)
