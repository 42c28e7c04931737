"""Curves stay thin whatever comes in, keep what stands out, and reach the page quickly."""

import json
import random

import pytest

from training import metrics
from training.curves import BUCKETS, Curve, extend, headline, panels
from training.models import Curves, Metric

pytest_plugins = ["tests.training.pages"]


def steps(curve: Curve) -> list[int]:
    return [point[0] for point in curve.points()]


def test_a_short_curve_is_left_as_it_is():
    curve = Curve()
    for step in range(500):
        curve.add(step, step / 2, step % 7)
    assert curve.points() == [[step, step / 2, step % 7] for step in range(500)]


@pytest.mark.parametrize("count", [BUCKETS, BUCKETS + 1, 3_333, 100_000])
def test_a_long_curve_keeps_its_extremes_and_its_ends_in_order(count):
    rng = random.Random(count)
    values = [rng.gauss(0, 1) for _ in range(count)]
    curve = Curve()
    for step, value in enumerate(values):
        curve.add(step, 0.0, value)
    points = curve.points()
    assert len(points) <= 2 * BUCKETS
    assert max(value for _, _, value in points) == max(values)
    assert min(value for _, _, value in points) == min(values)
    assert steps(curve) == sorted(set(steps(curve)))
    assert points[0][0] < 2 * curve.width
    assert points[-1][0] > count - 1 - 2 * curve.width


def test_one_spike_among_a_hundred_thousand_points_is_seen():
    curve = Curve()
    for step in range(100_000):
        curve.add(step, 0.0, 1000.0 if step == 54_321 else 1.0)
    assert [54_321, 0.0, 1000.0] in curve.points()


def test_a_resumed_run_replaces_the_steps_it_repeats():
    curve = Curve()
    for step in range(80):
        curve.add(step, 1.0, 0.0)
    for step in range(50, 100):
        curve.add(step, 2.0, 5.0)
    assert steps(curve) == list(range(100))
    assert [time for _, time, _ in curve.points()] == [1.0] * 50 + [2.0] * 50


def test_a_resumed_long_run_still_merges_and_ends_at_its_last_step():
    curve = Curve()
    for step in [*range(50_000), *range(30_001, 90_000)]:
        curve.add(step, 0.0, step % 11)
    assert len(curve.points()) <= 2 * BUCKETS
    assert steps(curve) == sorted(set(steps(curve)))
    assert steps(curve)[-1] > 89_000


def test_what_is_not_a_number_leaves_a_gap():
    curves = {}
    extend(
        curves, [(1, 0.0, {"loss": 0.5}), (2, 0.0, {"loss": "NaN"}), (3, 0.0, {"loss": True}), (4, 0.0, {"loss": 0.4})]
    )
    assert steps(curves["loss"]) == [1, 4]


def test_train_and_held_out_share_a_chart_and_unknown_names_get_their_own():
    found = panels(["eval_loss", "loss", "objective/kl", "eval_kl", "logps/rejected", "logps/chosen"])
    assert [panel["series"] for panel in found] == [
        ["loss", "eval_loss"],
        ["logps/chosen", "logps/rejected"],
        ["objective/kl", "eval_kl"],
    ]


def test_numbers_of_unlike_units_never_share_a_chart():
    found = {
        panel["title"]: panel for panel in panels(["kl", "eval_kl", "completions/self_corrections", "eval_gold_stderr"])
    }
    assert [(title, panel["unit"], panel["more"]) for title, panel in found.items()] == [
        ("KL to the reference", "nats a completion", False),
        ("KL to the reference, by token", "nats a token", False),
        ("Self-corrections", "a completion", False),
    ]


def test_the_list_shows_held_out_accuracy_before_that_of_training_rows():
    assert headline({"accuracy": 0.9, "eval_accuracy": 0.6, "margin": 2.0}) == {
        "accuracy": 0.6, "accuracy_held_out": True, "margin": 2.0, "margin_held_out": False,
    }  # fmt: skip


@pytest.fixture
def logged(make_job):
    def write(count: int, **job):
        job = make_job(status="running", **job)
        names = ("loss", "rewards/accuracies", "rewards/margins", "logps/chosen", "logps/rejected", "learning_rate")
        names += ("tokens_per_second", "grad_norm", "rss_bytes", "cpu_percent", "rewards/chosen", "rewards/rejected")
        rng = random.Random(0)
        rows = (
            Metric(job=job, line=n, step=n + 1, time=1e9 + n, values={name: rng.random() for name in names})
            for n in range(count)
        )
        Metric.objects.bulk_create(rows, batch_size=5000)
        return job

    return write


def test_curves_come_in_bounded_pieces_until_nothing_is_left(logged):
    job = logged(metrics.PIECE * 2 + 10)
    first = metrics.snapshot(job)
    assert first.behind and first.line == metrics.PIECE - 1
    assert metrics.snapshot(job).behind
    last = metrics.snapshot(job)
    assert not last.behind and last.line == metrics.PIECE * 2 + 9


def test_thinned_curves_are_kept_so_that_lines_are_read_once(logged):
    job = logged(metrics.KEEP_EVERY + 5)
    metrics.catch_up(job)
    assert Curves.objects.get(job=job).line == metrics.KEEP_EVERY + 4
    before = metrics.snapshot(job).as_json()
    Metric.objects.filter(job=job).delete()
    assert metrics.snapshot(job).as_json() == before


def test_two_readers_at_once_count_no_line_twice(logged):
    job = logged(metrics.KEEP_EVERY * 2)
    metrics.catch_up(job)
    whole = Curves.objects.get(job=job).data
    metrics.keep(job, -1, 10, {})
    metrics.keep(job, 3, 10, {})
    assert Curves.objects.get(job=job).data == whole


def test_a_page_asks_for_what_came_since_a_line(logged, client, alice):
    job = logged(20)
    client.force_login(alice)
    answer = client.get(f"/train/{job.pk}/metrics/?since=14").json()
    assert answer["line"] == 19
    assert answer["series"]["loss"]["steps"] == [16, 17, 18, 19, 20]


def test_twenty_thousand_points_reach_the_page_thinned(logged, client, alice):
    job = logged(20_000)
    metrics.catch_up(job)
    client.force_login(alice)
    client.get(f"/train/{job.pk}/metrics/?since=19999")
    answer = client.get(f"/train/{job.pk}/metrics/")
    series = json.loads(answer.content)["series"]
    assert len(series) == 12
    assert all(len(columns["steps"]) <= 2000 for columns in series.values())
    assert all(columns["steps"][-1] > 19_900 for columns in series.values())
