"""Gao's curves are found again in points drawn from them, peaks are named where they are, and thin evidence refused."""

import random
from math import exp, log, sqrt

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from training.overoptimisation import FEWEST, NoFit, fit

COEFFICIENT = st.floats(0.1, 5.0)


def truth(form, start, alpha, beta):
    bend = {"rl": lambda d: log(d) if d else 0.0, "best_of_n": lambda d: d}[form]
    return lambda d: start + d * (alpha - beta * bend(d))


def spaced(furthest, count):
    return [furthest * at / (count - 1) for at in range(count)]


@given(
    form=st.sampled_from(["rl", "best_of_n"]),
    alpha=COEFFICIENT,
    beta=COEFFICIENT,
    start=st.floats(-10, 10),
    furthest=st.floats(2.0, 12.0),
    seed=st.integers(0, 1000),
)
def test_known_coefficients_are_recovered_from_noisy_points(form, alpha, beta, start, furthest, seed):
    curve, draw, count, noise = truth(form, start, alpha, beta), random.Random(seed), 60, 0.02
    distances = spaced(furthest, count)
    found = fit([d * d for d in distances], [curve(d) + draw.gauss(0, noise) for d in distances], form=form)
    # Least squares errs by about noise / (√count · spread); twelve times that is never met by chance.
    within = 12 * noise * 3 / sqrt(count) + 1e-9
    assert abs(found.alpha - alpha) < within and abs(found.beta - beta) < within
    assert found.residual == pytest.approx(noise, rel=0.5)
    for distance in distances:
        assert abs(found.at(distance) - curve(distance)) < 6 * noise


@given(alpha=COEFFICIENT, beta=COEFFICIENT, furthest=st.floats(1.0, 10.0))
def test_the_peak_is_where_the_slope_is_none(alpha, beta, furthest):
    peak = exp(alpha / beta - 1)
    assume(peak < 1.4 * furthest)
    curve = truth("rl", 0.0, alpha, beta)
    distances = spaced(furthest, 12)
    found = fit([d * d for d in distances], [curve(d) for d in distances]).peak
    assert found.distance == pytest.approx(peak, rel=1e-4)
    assert found.reward == pytest.approx(beta * peak, rel=1e-4)
    assert found.beyond == (found.distance > furthest)


def test_a_reward_that_only_rises_has_no_peak_nor_has_one_whose_peak_is_far_off():
    kls = [0, 1, 4, 9, 16]
    assert fit(kls, [0, 1, 2, 3, 4]).peak is None
    assert fit(kls, [d * (8 - 0.5 * log(d or 1)) for d in range(5)]).peak is None


def test_noise_alone_is_given_a_peak_by_chance_only():
    draw, named = random.Random(5), 0
    for _ in range(200):
        named += fit([n * n for n in range(12)], [draw.gauss(0, 1) for _ in range(12)]).peak is not None
    assert named < 20


def test_points_measured_well_count_for_more():
    curve = truth("rl", 0.0, 2.0, 0.7)
    kls = [d * d for d in range(8)]
    rewards = [curve(d) for d in range(8)]
    rewards[5] += 3.0
    plain = fit(kls, rewards)
    weighed = fit(kls, rewards, [0.05] * 5 + [5.0] + [0.05] * 2)
    assert abs(plain.alpha - 2.0) > 0.2
    assert weighed.alpha == pytest.approx(2.0, abs=1e-2) and weighed.beta == pytest.approx(0.7, abs=1e-2)


def test_points_in_any_order_and_kl_below_zero_by_noise_are_taken():
    curve = truth("rl", 1.0, 2.0, 0.7)
    kls = [9.0, -0.01, 4.0, 25.0, 1.0]
    found = fit(kls, [curve(sqrt(max(kl, 0.0))) for kl in kls])
    assert (found.alpha, found.beta, found.start) == pytest.approx((2.0, 0.7, 1.0))
    assert found.curve(6.0)[0] == pytest.approx((0.0, 1.0)) and found.curve(6.0)[-1][0] == 6.0


@pytest.mark.parametrize(
    ("kls", "why"),
    [
        ([0, 1, 4], f"at least {FEWEST}"),
        ([], "there are 0"),
        ([0, 0, 0, 0, 0], "hardly differs"),
        ([-0.1, -0.2, -0.1, 0], "hardly differs"),
        ([9.0, 9.1, 9.2, 9.3], "hardly differs"),
        ([0, 4, 0, 4, 4], "too few different"),
    ],
)
def test_points_that_make_no_curve_are_refused_with_the_reason(kls, why):
    with pytest.raises(NoFit, match=why):
        fit(kls, [0.5] * len(kls))
