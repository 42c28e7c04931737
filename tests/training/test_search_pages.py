"""The search pages: the form, the tree of one search, an evaluation's plots."""

import re

import pytest
from django.urls import reverse

from annotation.models import Project
from tests.studio.reading import Page
from tests.training import puzzles
from training.models import ModelVersion, SearchEvaluation, SearchRun, Strategy
from training.search import search
from training.search_draw import Move, Scored, Settings
from training.searching import KNOBS

pytestmark = pytest.mark.django_db
HOSTILE = '<script>alert(1)</script> </text></svg> "onclick=alert(1) {{ x }} \\u202e'
FORM = {
    "problem": "What is 2 + 2?", "strategy": "beam", "n": 8, "aggregate": "min", "depth": 10, "ahead": 1,
    "temperature": 0.8, "top_p": 1, "max_tokens": 64, "step_tokens": 16, "seed": 1, "separator": "line",
}  # fmt: skip


@pytest.fixture
def models(alice):
    def make(name, makes="policy"):
        return ModelVersion.objects.create(name=name, version=1, slug=f"{name}-v1", makes=makes, created_by=alice)

    return {"policy": make("small"), "prm": make("judge", "process_reward_model"), "other": make("wide")}


@pytest.fixture
def make_run(models, bob):
    """A search of bob's that has ended, its tree grown by the strategy itself."""

    def make(strategy="beam", policy=None, scorer=puzzles.perfect, status="succeeded", answer=puzzles.answer, **knobs):
        knobs = {"n": 8, "width": 2} | knobs
        made = search(strategy, policy or puzzles.Digits(), scorer, Settings(**knobs), extract=answer)
        return SearchRun.objects.create(
            messages=[{"role": "user", "content": "Three even digits."}], policy=models["policy"], scorer=models["prm"],
            strategy=strategy, settings=KNOBS | knobs, total=8, done=8, status=status, created_by=bob,
            result=made.as_json(),
        )  # fmt: skip

    return make


@pytest.fixture
def page(client, bob):
    client.force_login(bob)

    def get(run, **query):
        reply = client.get(run.get_absolute_url(), query)
        assert reply.status_code == 200
        return reply.content.decode()

    return get


def test_a_search_starts_from_the_form(client, bob, models):
    client.force_login(bob)
    data = FORM | {"policy": models["policy"].pk, "scorer": models["prm"].pk, "reference": "4"}
    reply = client.post(reverse("search"), data)
    run = SearchRun.objects.get()
    assert reply.url == run.get_absolute_url()
    assert (run.strategy, run.reference, run.status) == ("beam", "4", "queued")
    assert (run.settings["n"], run.settings["separator"], run.settings["budget"]) == (8, "\n", None)
    assert run.total == 10


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scorer": ""}, "Beam search needs a scorer"),
        ({"width": 20}, "width is 20"),
        ({"n": 900}, "less than or equal"),
    ],
)
def test_a_search_that_makes_no_sense_says_why_and_keeps_the_form(client, bob, models, change, message):
    client.force_login(bob)
    data = FORM | {"policy": models["policy"].pk, "scorer": models["prm"].pk} | change
    page = client.post(reverse("search"), data).content.decode()
    assert message in page and "What is 2 + 2?" in page
    assert not SearchRun.objects.exists()


def test_the_form_starts_from_an_earlier_search_and_from_a_drawn_problem(client, bob, project, make_run, make_prompt):
    run = make_run(n=6)
    client.force_login(bob)
    page = client.get(reverse("search"), {"like": run.pk}).content.decode()
    assert "Three even digits." in page and 'name="n" value="6"' in page
    make_prompt("What is 3 + 4?", completions=(), reference="7")
    page = client.get(reverse("search"), {"draw": project.slug}).content.decode()
    assert "What is 3 + 4?" in page and 'value="7"' in page


def test_the_history_goes_on_page_by_page(client, bob, make_run, monkeypatch):
    monkeypatch.setattr("training.views.search.PAGE", 2)
    runs = [make_run(n=n) for n in (2, 4, 6)]
    client.force_login(bob)
    page = client.get(reverse("search")).content.decode()
    assert "N 6" in page and "N 2<" not in page and f"before={runs[1].pk}" in page
    page = client.get(reverse("search"), {"before": runs[1].pk}).content.decode()
    assert "N 2<" in page and "N 6" not in page and "Older searches" not in page


def test_the_tree_is_drawn_with_its_chosen_path(page, make_run):
    text = page(make_run())
    assert text.count("step good kept chosen") + text.count("step good finished chosen") == 3
    assert re.search(r'aria-label="score 1.00, ended by itself, chosen: \d"', text)
    assert "pruned" in text and 'class="edge chosen"' in text


def test_a_fold_opens_and_stays_open(page, make_run):
    run = make_run(n=16, width=1)
    closed = page(run)
    opening = re.search(r'href="\?(open=\d+)" aria-label="show (\d+) pruned', closed)
    opened = page(run, open=opening[1][5:])
    assert opened.count('<svg class="step') == closed.count('<svg class="step') + int(opening[2]) - 1
    assert "Fold again" in opened


def test_a_step_shows_its_text_and_numbers(page, make_run, client):
    run = make_run()
    chosen = run.result["chosen"][-1]
    assert "Value of the path" in page(run, node=chosen)
    panel = client.get(f"{run.get_absolute_url()}?node={chosen}", headers={"HX-Request": "true", "HX-Target": "node"})
    assert panel.content.decode().strip().startswith("<aside") and "1.0000" in panel.content.decode()


@pytest.mark.parametrize("node", ["99999", "-1", "x", "9" * 30])
def test_a_step_that_is_not_there_shows_nothing(page, make_run, node):
    assert "Value of the path" not in page(make_run(), node=node)


def test_the_list_has_every_path_and_its_scores(page, make_run):
    run = make_run("weighted", n=5)
    text = page(run, view="list")
    assert text.count("path-steps") == 5 and "search-tree" not in text
    assert "chosen" in text


def test_text_of_steps_cannot_leave_its_place(page, make_run):
    def policy(asks):
        return [
            [Move([f"{HOSTILE} {i}"], 5, "finished" if ask.steps else "step") for i in range(ask.count)] for ask in asks
        ]

    def scorer(traces):
        return [Scored([0.5] * len(trace)) for trace in traces]

    run = make_run(policy=policy, scorer=scorer, answer=str.upper)
    run.messages = [{"role": "user", "content": HOSTILE}]
    run.save()
    for query in ({}, {"view": "list"}, {"node": run.result["chosen"][0]}):
        text = page(run, **query)
        assert Page(text).live == []


def test_only_a_search_under_way_polls(page, make_run):
    run = make_run(status="running")
    assert 'hx-trigger="every 1s"' in page(run)
    SearchRun.objects.update(status="succeeded")
    assert "hx-trigger" not in page(run)


def test_polling_keeps_what_is_open(client, bob, make_run):
    client.force_login(bob)
    run = make_run(status="running")
    address = f"{run.get_absolute_url()}?open=0&zoom=50"
    part = client.get(address, headers={"HX-Request": "true"}).content.decode()
    assert "<html" not in part and 'hx-get="' in part and "open=0&amp;zoom=50" in part


def test_a_queued_search_says_that_no_worker_listens(page, make_run):
    run = make_run(status="queued")
    SearchRun.objects.update(result=None)
    assert "No worker is listening" in page(run)


def test_a_failed_search_says_why_and_shows_its_tree(page, make_run):
    run = make_run(status="failed")
    SearchRun.objects.update(message="The scorer refused.")
    text = page(run)
    assert "The scorer refused." in text and "search-tree" in text


def test_somebody_elses_search_is_not_there(client, carol, make_run):
    run = make_run()
    client.force_login(carol)
    assert client.get(run.get_absolute_url()).status_code == 404
    for name in ("search_cancel", "search_offer"):
        assert client.post(reverse(name, args=[run.pk])).status_code == 404
    assert "Three even digits." not in client.get(reverse("search")).content.decode()


def test_a_search_becomes_a_strategy_and_is_removed_again(client, bob, carol, make_run):
    client.force_login(bob)
    client.post(reverse("search_offer", args=[make_run().pk]))
    made = Strategy.objects.get()
    assert made.name == "small v1 · beam search, N 8 by judge v1"
    assert made.name in client.get(reverse("search")).content.decode()
    client.force_login(carol)
    assert client.post(reverse("strategy_remove", args=[made.pk])).status_code == 404
    client.force_login(bob)
    client.post(reverse("strategy_remove", args=[made.pk]))
    assert not Strategy.objects.exists()


def test_stopping_a_queued_search_ends_it(client, bob, make_run):
    run = make_run(status="queued")
    client.force_login(bob)
    client.post(reverse("search_cancel", args=[run.pk]))
    run.refresh_from_db()
    assert run.status == "cancelled"


class TestEvaluations:
    """Several strategies on many problems."""

    @pytest.fixture
    def problems(self, make_prompt):
        return [make_prompt(f"What is {k} + 1?", completions=(), reference=str(k + 1)) for k in range(6)]

    def start(self, client, models, project, **fields):
        data = {key: value for key, value in FORM.items() if key not in ("problem", "strategy", "n")}
        data |= {"policy": models["policy"].pk, "scorer": models["prm"].pk, "project": project.pk, "count": 4}
        return client.post(
            reverse("search_evaluate"), data | {"strategies": ["majority", "beam"], "ns": "1, 2,4"} | fields
        )

    def test_an_evaluation_takes_problems_evenly(self, client, bob, models, project, problems):
        client.force_login(bob)
        reply = self.start(client, models, project)
        made = SearchEvaluation.objects.get()
        assert reply.url == made.get_absolute_url()
        assert (made.ns, made.strategies, made.total) == ([1, 2, 4], ["majority", "beam"], 4)
        assert [problem["reference"] for problem in made.problems] == ["1", "2", "4", "5"]

    @pytest.mark.parametrize(
        ("fields", "message"),
        [({"ns": "1, x"}, "Write whole numbers"), ({"ns": "0"}, "from 1 to 64"), ({"strategies": []}, "required")],
    )
    def test_what_cannot_be_evaluated_says_why(self, client, bob, models, project, problems, fields, message):
        client.force_login(bob)
        assert message in self.start(client, models, project, **fields).content.decode()
        assert not SearchEvaluation.objects.exists()

    def test_a_project_without_references_says_so(self, client, bob, models, project, prompt):
        client.force_login(bob)
        assert "no problem with a reference" in self.start(client, models, project).content.decode()

    def test_problems_of_others_cannot_be_chosen(self, client, carol, models, project, problems):
        client.force_login(carol)
        Project.objects.create(name="Hers").memberships.create(user=carol, role="manager")
        self.start(client, models, project)
        assert not SearchEvaluation.objects.exists()

    def test_plots_and_table_show_every_point(self, client, bob, models, project):
        points = [
            {"strategy": name, "n": n, "accuracy": 0.5, "low": 0.4, "high": 0.6, "tokens": 50.0 * n, "problems": 9}
            for name in ("majority", "beam")
            for n in (1, 2, 4)
        ]
        made = SearchEvaluation.objects.create(
            name="9 problems", problems=[], policy=models["policy"], strategies=["majority", "beam"], ns=[1, 2, 4],
            status="succeeded", points=points, created_by=bob,
        )  # fmt: skip
        client.force_login(bob)
        text = client.get(made.get_absolute_url()).content.decode()
        assert text.count("<figure") == 2 and text.count("<title>") == 1 + 12
        assert "beam search, N 4: 50 % [40 %–60 %], 200 tokens" in text
        assert "hx-trigger" not in text
