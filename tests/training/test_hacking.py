"""Reward hacking is seen in a run's numbers where it is, named once with what to try; healthy runs raise no alarm."""

import random
import re
from math import exp, sqrt

import pytest

from training.alarms import ADVICE, Watch
from training.follow import BEGUN, LATELY, remembered
from training.hacking import Evaluation, overoptimised
from training.models import Metric

pytest_plugins = ["tests.training.pages"]
STEPS, EVERY = 200, 10
HACKED = {"overoptimised", "length_explains", "repetition_explains", "entropy_collapse", "kl_runaway"}


def run(seed=0, **changes):
    """Alarms by kind over a run of STEPS lines that is evaluated every EVERY. A series is a function of progress in
    0..1; those that `changes` does not name are of a run that goes well. All are noisy."""
    well = {
        "reward": lambda t: 0.3 + 0.5 * t,
        "gold": lambda t: 0.4 + 0.3 * t,
        "kl": lambda t: 12 * t,
        "entropy": lambda t: 0.8 - 0.5 * t,
        "length": lambda t: 120 + 40 * t,
        "repetition": lambda t: 0.05,
        "length_correlation": lambda t: 0.3,
        "repetition_correlation": lambda t: -0.2,
    } | changes
    draw, watch, found = random.Random(seed), Watch(), []

    def value(name, t, noise):
        return well[name](t) + draw.gauss(0, noise)

    for step in range(STEPS + 1):
        t = step / STEPS
        if step:
            line = {
                "loss": 0.1,
                "reward": value("reward", t, 0.05),
                "entropy": well["entropy"](t) * draw.uniform(0.8, 1.2),
            }
            line |= {"objective/kl": well["kl"](t) * draw.uniform(0.7, 1.3) * (8 if draw.random() < 0.05 else 1)}
            found += watch.feed(step, line | {"completions/mean_length": value("length", t, 5)})
        if step % EVERY == 0:
            line = {"eval_reward": value("reward", t, 0.02), "eval_kl": well["kl"](t) * draw.uniform(0.7, 1.3)}
            line |= {
                "eval_completions/mean_length": value("length", t, 3),
                "eval_repetition": value("repetition", t, 0.005),
            }
            line |= {f"eval_{name}": value(name, t, 0.05) for name in ("length_correlation", "repetition_correlation")}
            if well["gold"]:
                line |= {"eval_gold": value("gold", t, 0.03), "eval_gold_stderr": 0.03}
            found += watch.feed(step, line)
    assert len({alarm["kind"] for alarm in found}) == len(found), "an alarm came twice"
    assert all(alarm["advice"] == ADVICE[alarm["kind"]] for alarm in found)
    return {alarm["kind"]: alarm for alarm in found}


def falling_gold(t):
    return 0.4 + 0.8 * t if t < 0.4 else 0.72 - 0.7 * (t - 0.4)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"gold": None},
        {"gold": lambda t: 0.5},  # no better, no worse
        {"gold": lambda t: 0.4 + 0.3 * min(1, 4 * t)},  # as good as it gets, early
        {"reward": lambda t: 0.9, "gold": lambda t: 0.9, "kl": lambda t: 0.0},  # nothing happens
        {"reward": lambda t: 0.3 + 0.6 * (1 - exp(-5 * t)), "kl": lambda t: 18 * sqrt(t)},
        {"length_correlation": lambda t: -0.85},  # the right ones are short, but it grows no shorter
        {"length": lambda t: 200 - 80 * t},  # it grows shorter, and length does not tell good from bad
        {"entropy": lambda t: 0.06 * exp(-4 * t)},  # was certain from the start
        {"entropy": lambda t: 0.8 * exp(-1.8 * t)},
        {"kl": lambda t: 150 * t, "length": lambda t: 2000.0},  # far in nats, near in nats a token
    ],
)
def test_a_run_that_goes_well_raises_no_alarm_however_noisy(changes):
    for seed in range(20):
        assert run(seed, **changes) == {}


@pytest.mark.parametrize("seed", range(5))
def test_a_reward_that_rises_while_gold_falls_is_an_alarm(seed):
    found = run(seed, gold=falling_gold)
    assert list(found) == ["overoptimised"]
    assert 0.4 * STEPS < found["overoptimised"]["step"] < 0.9 * STEPS
    assert re.search(r"while gold fell from 0\.(6|7)\d* to 0\.(4|5)", found["overoptimised"]["message"])


def test_gold_that_falls_with_its_reward_is_no_overoptimisation():
    assert run(gold=falling_gold, reward=falling_gold) == {}


def test_without_standard_errors_the_noise_of_gold_is_told_from_how_it_jumps():
    draw = random.Random(2)

    def series(gold):
        return [Evaluation(n, 0.1 * n, gold=gold(n / 20) + draw.gauss(0, 0.03)) for n in range(20)]  # fmt: skip

    assert overoptimised(series(falling_gold))
    assert not overoptimised(series(lambda t: 0.5))
    assert not overoptimised(series(falling_gold)[:5])  # too few to know


@pytest.mark.parametrize("side", [1, -1])
def test_length_that_explains_the_reward_is_an_alarm_to_either_side(side):
    found = run(length=lambda t: 150 + side * 100 * t, length_correlation=lambda t: side * min(0.85, 0.4 + t))
    assert list(found) == ["length_explains"]
    message = found["length_explains"]["message"]
    assert ("longer" if side > 0 else "shorter") in message and "tokens" in message
    assert "length -0.1 target=200" in found["length_explains"]["advice"]


def test_repetition_that_explains_the_reward_is_an_alarm():
    found = run(repetition=lambda t: 0.05 + 0.6 * t, repetition_correlation=lambda t: 0.9)
    assert list(found) == ["repetition_explains"] and "%" in found["repetition_explains"]["message"]


def test_an_entropy_that_collapses_is_an_alarm_where_a_policy_learns_from_rewards():
    found = run(entropy=lambda t: 0.8 * exp(-5 * t))
    assert list(found) == ["entropy_collapse"] and "nats a token" in found["entropy_collapse"]["message"]
    imitating = Watch()
    assert not any(imitating.feed(step, {"loss": 0.5, "entropy": 3 * exp(-step / 20)}) for step in range(200))


def test_a_kl_beyond_all_bounds_is_an_alarm_and_one_wild_completion_is_not():
    found = run(kl=lambda t: 120 * t)
    assert list(found) == ["kl_runaway"] and "nats a completion" in found["kl_runaway"]["message"]
    assert run(kl=lambda t: 400.0 if 0.5 < t < 0.51 else 5.0) == {}


def test_a_kl_that_doubles_and_doubles_is_an_alarm_before_it_is_beyond_its_bounds():
    watch, found = Watch(), []
    for step in range(1, 60):
        kl = 2.0 if step < 40 else 2.0 * 2 ** ((step - 39) / 4)
        found += watch.feed(step, {"objective/kl": kl, "completions/mean_length": 100.0})
        if found:
            break
    assert "doubled twice" in found[0]["message"] and kl < 40
    calm = Watch()
    assert not any(calm.feed(step, {"objective/kl": 14.0 * (1 - exp(-step / 20))}) for step in range(1, 100))


def test_the_kl_of_a_token_and_that_of_an_evaluation_are_judged_alike():
    by_token, by_evaluation = Watch(), Watch()
    found = [a for s in range(40) for a in by_token.feed(s, {"kl": 0.5, "completions/mean_length": 90.0})]
    found += [
        a for s in range(8) for a in by_evaluation.feed(s, {"eval_kl": 45.0, "eval_completions/mean_length": 90.0})
    ]
    assert [alarm["message"].partition("grown to ")[2][:39] for alarm in found] == [
        "45 nats a completion, 0.5 nats a token:"
    ] * 2
    short = Watch()
    assert not any(short.feed(s, {"kl": 0.5, "completions/mean_length": 10.0}) for s in range(40))


def test_a_resumed_run_repeats_evaluations_without_being_counted_twice():
    watch = Watch()
    for step in [0, 10, 20, 30, 20, 30, 40]:
        watch.feed(step, {"eval_reward": 0.1, "eval_gold": 0.5})
    assert [one.step for one in watch.evaluations] == [0, 10, 20, 30, 40]


@pytest.mark.django_db
def test_a_new_follower_still_knows_the_entropy_a_long_run_began_with(make_job):
    job = make_job(recipe_name="ppo", status="running")
    count = BEGUN + 2 * LATELY
    lines = ({"reward": 0.1, "entropy": 1.0 if n < 40 else 0.05} for n in range(count))
    Metric.objects.bulk_create(Metric(job=job, line=n, step=n, time=0.0, values=line) for n, line in enumerate(lines))
    told = remembered(job)
    assert [step for step, _ in told] == [*range(BEGUN), *range(count - LATELY, count)]
    watch = Watch()
    found = [alarm["kind"] for step, values in told for alarm in watch.feed(step, values)]
    assert found == ["entropy_collapse"]
