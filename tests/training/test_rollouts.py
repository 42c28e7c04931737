"""Rollouts of a run: from the file to rows, found by text, steps and numbers, opened, and safe to read."""

import json
import re
from html import unescape

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from annotation.store import store
from training import rundir
from training.follow import Follower
from training.models import RolloutGroup
from training.rollouts import keep, row_of

pytest_plugins = ["tests.training.pages"]
HOSTILE = "<script>alert(1)</script> [x](javascript:alert(2)) \x00 <img src=x onerror=alert(3)>"


def completion(text, reward, **more):
    known = {"reward": reward, "parts": {"math": reward, "format": None}, "why": {"math": f"It is {reward}."}}
    return {"completion": text, "tokens": len(text), "ended": True, "advantage": reward - 0.5} | known | more


def group(step, place=0, asked="What is 2 + 2?", said=(("Four.", 1.0), ("Wait, five.", 0.0)), **more):
    completions = [completion(text, reward, kl=0.01 * step) for text, reward in said]
    prompt = [{"role": "user", "content": asked}]
    return {"step": step, "place": place, "prompt": prompt, "reference": "4", "completions": completions} | more


@pytest.fixture
def run(make_job):
    return make_job(recipe_name="grpo", status="running", worker="w", step=3, total=9)


@pytest.fixture
def write(run, write_run):
    def write(*records):
        write_run(run, rollouts__jsonl="".join(json.dumps(record) + "\n" for record in records))

    return write


@pytest.fixture
def follow(run):
    return lambda: Follower(run, store().work(run.run_dir)).read(everything=True)


@pytest.fixture
def page(client, alice, run):
    client.force_login(alice)

    def page(said="", path="", **headers):
        return client.get(f"/train/{run.pk}/{path}{said}", headers=headers)

    return page


def found(response) -> list[str]:
    """The steps of the groups listed, in their order."""
    return re.findall(r">step ([\d,]+)</span>", response.content.decode())


def text(response) -> str:
    return re.sub(r"\s+", " ", unescape(response.content.decode()))


# ---- from the file to rows, and back ----


def test_lines_become_rows_once_and_a_repeated_step_replaces_what_it_repeats(run, write, follow):
    write(group(1), group(2), group(2, place=1))
    assert follow() and follow()
    assert list(run.rollouts.values_list("step", "place")) == [(1, 0), (2, 0), (2, 1)]
    write(group(1), group(2), group(2, place=1), group(2, said=(("Again.", 0.25),)))
    follow()
    again = run.rollouts.get(step=2, place=0)
    assert run.rollouts.count() == 3 and again.texts == ["Again."] and again.high["part:math"] == 0.25


def test_a_database_gives_another_machine_the_file_back(run, write, follow):
    records = [group(1), group(4, said=((HOSTILE, 0.5), ("", 0.0)))]
    write(*records)
    follow()
    file = store().work(run.run_dir) / "rollouts.jsonl"
    file.unlink()
    rundir.restore(run, file.parent)
    again = [json.loads(line) for line in file.read_text().splitlines()]
    assert [one["completion"] for one in again[1]["completions"]] == [HOSTILE.replace("\x00", "\ufffd"), ""]
    assert again[0]["prompt"] == records[0]["prompt"] and again[0]["completions"][0]["reward"] == 1.0
    follow()
    assert run.rollouts.count() == 2


@pytest.mark.parametrize(
    "strange",
    [
        {"completions": None},
        {"completions": ["text", {"completion": 3, "parts": [], "why": "?", "reward": "NaN", "tokens": None}]},
        {"prompt": "text", "place": -1, "reference": {"a": 1}},
        {"prompt": [1, {"role": "user"}], "completions": [{"parts": {"math": float("inf")}}]},
        {"completions": [{"completion": "a\x1eb\x00\ud800"}], "place": 2**40},
    ],
)
def test_whatever_a_line_says_can_be_stored_and_shown(run, write, follow, page, strange):
    write(group(1) | strange)
    assert follow()
    row = run.rollouts.get()
    assert len(row.texts) == len(row.completions)
    assert found(page("?tab=rollouts")) == ["1"]
    assert page(path=f"rollouts/{row.pk}/").status_code == 200


# ---- the list ----


@pytest.fixture
def many(run):
    """Groups whose first completion says this; the one of step 3 has no number at all."""
    said = [(5, 0.2, "Tea is hot."), (1, 0.9, "Wait, let me check: 4."), (2, -1.5, "No.")]
    lines = [group(step, said=((words, reward), ("so", 0.1))) for step, reward, words in said]
    lines.append(group(3) | {"completions": [{"completion": "100% sure_ly"}]})
    keep([row_of(run, number, line) for number, line in enumerate(lines)])


@pytest.mark.parametrize(
    ("wanted", "steps"),
    [
        ("", "5321"),
        ("&sort=step", "1235"),
        ("&sort=-reward", "1523"),
        ("&sort=reward", "2513"),
        ("&sort=-part:math", "1523"),
        ("&sort=kl", "1253"),
        ("&sort=-length", "1523"),
        ("&sort=-advantage", "1523"),
        ("&sort=-job__created_by__password", "5321"),
        ("&from=2&to=3", "32"),
        ("&from=x&to=%00&page=-1", "5321"),
        ("&q=wAIT", "1"),
        ("&q=100%25", "3"),
        ("&q=e_l", "3"),
        ("&q=2 %2B 2&sort=step", "1235"),
        ("&q=%00", "5321"),
        ("&q=nowhere", ""),
    ],
)
def test_groups_are_found_by_text_and_steps_and_sorted_by_any_number(page, many, wanted, steps):
    assert "".join(found(page(f"?tab=rollouts{wanted}"))) == steps
    assert "".join(found(page(f"?{wanted.lstrip('&')}", path="rollouts/", HX_Request="true"))) == steps


def test_an_open_group_has_its_completions_in_the_order_of_the_list(page, many, run):
    row = run.rollouts.get(step=2)
    html = text(page("?sort=reward", path=f"rollouts/{row.pk}/", HX_Request="true"))
    assert "<html" not in html and html.index("No.") < html.index("so</p>") and "Reference" in html
    for said in ("reward</span>-1.5", "math</span>-1.5", "format</span>–", "advantage</span>-2.000", "KL</span>0.020"):
        assert said in html
    alone = text(page("?sort=-reward", path=f"rollouts/{row.pk}/"))
    assert "<html" in alone and alone.index("so</p>") < alone.index("No.</p>")


def test_what_a_model_says_runs_nowhere(page, run, write, follow):
    write(group(1, asked=HOSTILE, said=((HOSTILE, 1.0),), reference=HOSTILE))
    follow()
    for response in (page("?tab=rollouts&q=alert"), page(path=f"rollouts/{run.rollouts.get().pk}/")):
        html = response.content.decode()
        assert "alert" in html
        assert "<script>alert" not in html and "<img" not in html and 'href="javascript' not in html


def test_the_list_stands_still_while_rollouts_come_and_says_how_many_did(page, run):
    keep([row_of(run, line, group(line)) for line in range(30)])
    first = page("?tab=rollouts&sort=step")
    assert found(first)[-1] == "24" and "1 to 25 of 30 groups" in text(first)
    keep([row_of(run, 30 + at, group(at, place=1)) for at in range(3)])
    second = page("?tab=rollouts&sort=step&until=29&page=2")
    assert found(second) == ["25", "26", "27", "28", "29"] and "26 to 30 of 30 groups" in text(second)
    fresh = page("?sort=step&until=29", path="rollouts/fresh/", HX_Request="true")
    assert "Show 3 new groups" in text(fresh)
    assert page("?until=29&told=3", path="rollouts/fresh/", HX_Request="true").status_code == 204
    assert page("?until=29&q=nowhere", path="rollouts/fresh/", HX_Request="true").status_code == 204
    run.status = "succeeded"
    run.save()
    assert page("?until=29&told=3", path="rollouts/fresh/", HX_Request="true").status_code == 286
    assert 'hx-trigger="every' not in page("?tab=rollouts").content.decode()


def test_a_run_without_rollouts_says_when_they_come(page, run, make_job, client):
    html = text(page())
    assert "No rollouts yet" in html and 'hx-trigger="every 2s"' in html
    other = make_job(name="None kept", recipe_name="ppo", status="succeeded", settings={"rollouts_kept": 0})
    assert "This run keeps none" in text(client.get(f"/train/{other.pk}/"))
    dpo = make_job(name="No drawing")
    assert "tab=rollouts" not in text(client.get(f"/train/{dpo.pk}/?tab=rollouts"))


def test_outsiders_see_nothing_of_it(client, carol, run):
    keep([row_of(run, 0, group(1))])
    client.force_login(carol)
    for path in ("rollouts/", "rollouts/fresh/", f"rollouts/{RolloutGroup.objects.get().pk}/"):
        assert client.get(f"/train/{run.pk}/{path}", headers={"HX-Request": "true"}).status_code == 404


def test_a_list_of_any_length_asks_the_same_few_questions(page, run):
    keep([row_of(run, line, group(line)) for line in range(2)])

    def asked():
        with CaptureQueriesContext(connection) as queries:
            page("?tab=rollouts&sort=-part:math&q=four")
        return len(queries)

    few = asked()
    keep([row_of(run, line, group(line)) for line in range(2, 60)])
    assert asked() == few
