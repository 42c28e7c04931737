"""The reward-hacking panel of a run's page: what it plots and says, and when it is there."""

import re

import pytest

from tests.training.hacked import evaluation, log_run
from training import metrics
from training.hacking import Evaluation
from training.hacking_plot import HEIGHT, WIDTH, fitted, plot
from training.models import Metric, TrainingJob

pytest_plugins = ["tests.training.pages"]


@pytest.fixture
def page(client, alice):
    client.force_login(alice)
    return lambda path, **headers: re.sub(r"\s+", " ", client.get(path, headers=headers).content.decode())


@pytest.fixture
def watched(make_job):
    """A run with so many evaluations."""

    def make(evaluations, status="running", recipe_name="ppo", how=None, **fields):
        job = make_job(recipe_name=recipe_name, status=status, **fields)
        log_run(job, evaluations, **(how or {}))
        return job

    return make


def panel(html: str) -> str:
    return html.partition('<section id="hacking"')[2].partition("</section>")[0]


def test_evaluations_are_plotted_in_the_order_of_steps_with_curves_the_peak_and_numbers(page, watched):
    html = panel(page(f"/train/{watched(13).pk}/"))
    assert re.findall(r'id="evaluation-(\d+)"', html) == [str(step) for step in range(0, 130, 10)]
    assert html.count('class="mark reward"') == 13 + 1 and html.count('class="interval gold"') == 13  # and its key
    assert 'class="curve reward"' in html and 'class="curve gold"' in html and "peak of gold" in html
    assert "step 50 · KL 3.000 nats (√ 1.73) · reward 0.600 · gold 0.719 ± 0.020" in html
    assert html.count("<tr") == 13 + 1 and 'tabindex="0"' in html
    peak = re.search(r"peak ([\d.]+) at √KL ([\d.]+)", html)
    assert abs(float(peak[1]) - 0.73) < 0.02 and abs(float(peak[2]) - 1.65) < 0.15
    assert "style=" not in html


def test_facts_stand_beside_the_plot_in_plain_words(page, watched):
    html = panel(page(f"/train/{watched(13).pk}/"))
    for said in ("longer completions score higher", "correlation 0.80", "138 tokens", "hardly any connection"):
        assert said in html
    assert "7.20 nats a completion" in html and "41 % of its start" in html and "began at 0.792" in html


def test_the_best_by_gold_is_marked_and_said_to_be_kept_once_the_result_says_so(page, watched):
    job = watched(13)
    assert "0.739 at step 40, best so far" in panel(page(f"/train/{job.pk}/"))
    gold = {"best": 0.719, "step": 50, "last": 0.685, "last_step": 120, "kept": True, "text": "best by gold: step 50"}
    TrainingJob.objects.filter(pk=job.pk).update(status="succeeded", result={"gold": gold})
    html = panel(page(f"/train/{job.pk}/"))
    assert "0.719 at step 50, kept" in html and html.count('class="ring"') == 1
    ended = {
        "gold": gold | {"kept": False},
        "reason": "gold was no better than 0.72 (step 50) at 3 evaluations in a row",
    }
    TrainingJob.objects.filter(pk=job.pk).update(result=ended)
    html = panel(page(f"/train/{job.pk}/"))
    assert "at step 50, the best, not kept" in html and "Gold was no better than 0.72" in html


@pytest.mark.parametrize("result", [{}, {"gold": None}, {"gold": {"step": "x"}}, {"gold": {"step": 7}}, {"gold": [1]}])
def test_a_result_that_does_not_say_what_was_kept_breaks_nothing(page, watched, result):
    assert "Reward hacking" in panel(page(f"/train/{watched(5, status='stopped', result=result).pk}/"))


def test_without_gold_the_panel_says_how_to_give_one(page, watched):
    html = panel(page(f"/train/{watched(8, how={'gold': False}).pk}/"))
    assert "follows no gold reward" in html and "<code>gold</code>" in html and "<code>math 1</code>" in html
    assert 'class="curve reward"' in html and "gold, never trained on" not in html and "peak of gold" not in html


def test_points_too_few_for_a_curve_are_shown_without_one_and_the_reason(page, watched):
    html = panel(page(f"/train/{watched(3).pk}/"))
    assert "a curve needs at least 4 evaluations, and there are 3" in html
    assert html.count('class="evaluation') == 3 and 'class="curve' not in html


def test_a_run_that_is_not_evaluated_yet_waits_without_a_panel_and_others_have_none(page, make_job):
    waiting = page(f"/train/{make_job(recipe_name='ppo', status='running').pk}/")
    assert "Reward hacking" not in waiting and '<section id="hacking" hidden hx-get=' in waiting
    for other in (make_job(recipe_name="ppo", status="failed"), make_job(recipe_name="dpo", status="running")):
        assert '<section id="hacking" hidden></section>' in page(f"/train/{other.pk}/")


def test_rewards_without_kl_make_no_panel(page, make_job):
    job = make_job(recipe_name="ppo", status="running", latest={"eval_reward": 0.5})
    Metric.objects.create(job=job, line=0, step=0, time=1.0, values={"eval_reward": 0.5})
    assert "Reward hacking" not in page(f"/train/{job.pk}/")


def test_numbers_that_are_none_leave_gaps(page, make_job):
    job = make_job(recipe_name="ppo", status="running")
    log_run(job, 6)
    Metric.objects.create(job=job, line=99, step=60, time=2e9, values=evaluation(6) | {"eval_gold": "NaN"})
    Metric.objects.create(job=job, line=100, step=70, time=2e9, values=evaluation(7) | {"eval_kl": "Infinity"})
    html = panel(page(f"/train/{job.pk}/"))
    assert 'id="evaluation-60"' in html and 'id="evaluation-70"' not in html
    assert html.count('class="interval gold"') == 6


def test_the_panel_follows_evaluations_until_the_run_ends(page, client, watched):
    job = watched(4)
    polls = re.search(r'hx-get="([^"]*/hacking/[^"]*)"', page(f"/train/{job.pk}/"))[1]
    assert client.get(polls, headers={"HX-Request": "true"}).status_code == 204
    log_run(job, 6, first=4)
    fresh = page(polls, HX_Request="true")
    assert 'id="evaluation-50"' in fresh and "<html" not in fresh and "Reward hacking" not in fresh
    assert '<div id="hacking-numbers" class="table" hx-swap-oob="true"><table' in fresh
    TrainingJob.objects.filter(pk=job.pk).update(status="succeeded")
    assert "hx-trigger" not in page(polls, HX_Request="true")
    last = page(f"/train/{job.pk}/?part=state", HX_Request="true")
    assert '<section id="hacking" class="stack tight hacking"' in last and 'hx-swap-oob="true"' in panel(last)


def test_the_first_evaluation_brings_the_panel(page, client, make_job):
    job = make_job(recipe_name="ppo", status="running")
    polls = re.search(r'hx-get="([^"]*/hacking/)"', page(f"/train/{job.pk}/"))[1]
    assert "hidden" in page(polls, HX_Request="true")
    log_run(job, 1)
    html = page(polls, HX_Request="true")
    assert "Reward hacking" in html and html.count('id="hacking-numbers"') == 1
    assert client.get(polls).url == f"/train/{job.pk}/#hacking"


@pytest.mark.parametrize("who", ["carol", "bob"])
def test_outsiders_and_labelers_find_no_panel(client, request, watched, who):
    client.force_login(request.getfixturevalue(who))
    assert client.get(f"/train/{watched(4).pk}/hacking/").status_code == 404


def test_a_run_with_thousands_of_evaluations_stays_small(page, make_job):
    job = make_job(recipe_name="ppo", status="running", latest=evaluation(1))
    lines = (Metric(job=job, line=n, step=n, time=1e9 + n, values=evaluation(n % 300)) for n in range(4000))
    Metric.objects.bulk_create(lines)
    metrics.catch_up(job)
    html = panel(page(f"/train/{job.pk}/"))
    assert 50 < html.count('class="evaluation') <= 102 and 'id="evaluation-3999"' in html


def drawn(rewards, golds, kls=None):
    seen = [
        Evaluation(n, r, gold=g, kl=n if kls is None else kls[n])
        for n, (r, g) in enumerate(zip(rewards, golds, strict=True))
    ]
    return plot(seen, fitted(seen, "reward", "rl").curve, fitted(seen, "gold", "rl").curve, None, "")


def test_rewards_of_like_size_share_an_axis_and_others_have_their_own():
    alike = drawn([0.1, 0.3, 0.5, 0.9], [0.2, 0.3, 0.4, 0.6])
    assert [axis["of"] for axis in alike["axes"]] == ["both"]
    apart = drawn([1.0, 3.0, 5.0, 9.0], [0.2, 0.3, 0.4, 0.6])
    assert [axis["of"] for axis in apart["axes"]] == ["gold", "reward"]


@pytest.mark.parametrize(
    ("rewards", "golds", "kls"),
    [
        ([0.5], [0.5], [0.0]),
        ([0.5, 0.5, 0.5, 0.5, 0.5], [0.0] * 5, [0.0] * 5),
        ([-3e6, 5.0, 2.0, 1e9], [1e-9, 2e-9, 0.0, 1e-9], [-1.0, 1e-6, 4000.0, 3.0]),
        ([0.1, 0.2, 0.3, 0.4, 0.5], [None] * 5, [0.0, 1.0, 0.5, 2.0, 1.5]),
    ],
)
def test_whatever_the_numbers_all_marks_lie_within_the_picture(rewards, golds, kls):
    found = drawn(rewards, golds, kls)
    for dot in found["dots"]:
        assert 0 < dot["x"] < WIDTH and 0 < dot["reward"]["y"] < HEIGHT
    assert all(tick["text"] for axis in found["axes"] for tick in axis["ticks"])


def test_a_point_from_which_the_policy_came_back_is_drawn_and_not_fitted():
    kls = [0.0, 0.5, 30.0, 1.0, 1.5, 2.0, 2.5]
    seen = [Evaluation(n, 0.1 * n, kl=kl) for n, kl in enumerate(kls)]
    found = fitted(seen, "reward", "rl").curve
    assert found.furthest == pytest.approx(2.5**0.5)
    assert len(plot(seen, found, None, None, "")["dots"]) == 7
