"""Home: the loop with live counts, and what needs this person next."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from annotation.models import Dataset, Membership, Project, Ranking, Tally
from studio.models import WorkerBeat
from training.models import Comparison, ModelVersion, TrainingJob

HOME = "/"


@pytest.fixture
def listening(db):
    for queue in ("default", "train"):
        WorkerBeat.objects.create(name=queue, queue=queue, seen=timezone.now())


@pytest.fixture
def dataset(project):
    return Dataset.objects.create(project=project, slug="first", name="First", status="ready", ranking_count=10)


@pytest.fixture
def train(project, dataset, alice):
    base = ModelVersion.objects.create(name="starter", slug="starter-v1")

    def make(**fields):
        return TrainingJob.objects.create(
            **{"name": "dpo", "recipe": "dpo", "created_by": alice, "project": project, "dataset": dataset}
            | {"base_model": base}
            | fields
        )

    return make


def html(client, user) -> str:
    client.force_login(user)
    return client.get(HOME).content.decode()


def todo(client, user) -> list[str]:
    client.force_login(user)
    return [item.text for item in client.get(HOME).context["next"]]


def test_the_five_stations_stand_in_the_order_of_the_loop(client, alice, project):
    page = html(client, alice)
    places = [page.index(f'href="{reverse(name)}"><span class="name">') for name in ("projects", "datasets", "jobs")]
    assert places == sorted(places)
    for name in ("models", "compare"):
        assert f'href="{reverse(name)}"><span class="name">' in page


def test_the_counts_are_those_of_my_projects(client, alice, bob, project, make_prompt, train, listening):
    for n in range(3):
        make_prompt(f"Question {n}")
    make_prompt("elsewhere", project=Project.objects.create(name="Other"))
    Tally.objects.create(project=project, labeler=bob, day=timezone.localdate(), labels=4)
    Tally.objects.create(project=project, labeler=bob, day=timezone.localdate() - timedelta(days=1), labels=2)
    train(status="running")
    train(status="queued")
    vote = Ranking.objects.create(prompt=make_prompt("voted"), labeler=alice)
    Comparison.objects.create(created_by=alice, project=project, ranking=vote)
    Comparison.objects.create(created_by=alice, project=project)
    client.force_login(alice)
    counts = client.get(HOME).context["counts"]
    assert counts == {
        "prompts": 4,
        "today": 4,
        "labels": 6,
        "datasets": 1,
        "running": 1,
        "queued": 1,
        "models": 1,
        "trained": 0,
        "votes": 1,
    }


def test_an_outsider_sees_none_of_it(client, carol, project, make_prompt, train):
    make_prompt()
    train(status="running")
    client.force_login(carol)
    context = client.get(HOME).context
    assert not any(value for name, value in context["counts"].items() if name != "models") and context["next"] == []


def test_the_page_refreshes_itself_as_a_fragment(client, alice, project):
    assert 'hx-trigger="every' in html(client, alice)
    fragment = client.get(HOME, headers={"HX-Request": "true"}).content.decode()
    assert fragment.strip().startswith('<div id="live"') and "<html" not in fragment


def test_a_labeler_is_sent_back_to_ranking(client, bob, project, make_prompt, listening):
    for n in range(2):
        make_prompt(f"Question {n}")
    assert todo(client, bob) == ["Go on ranking Helpful answers"]
    page = html(client, bob)
    assert "2 prompts wait" in page and reverse("rank", args=[project.slug]) in page


def test_a_labeler_who_ranked_all_she_can_is_left_alone(client, bob, project, make_prompt, listening):
    Ranking.objects.create(prompt=make_prompt(wanted=2), labeler=bob)
    assert todo(client, bob) == [] and "Nothing needs you now" in html(client, bob)


@pytest.mark.parametrize(
    ("status", "says"),
    [("succeeded", "dpo succeeded"), ("failed", "dpo failed"), ("stopped", "dpo stopped")],
)
def test_an_engineer_hears_of_runs_that_ended_until_she_looked(client, alice, train, status, says):
    job = train(status=status, error={"message": "Out of memory at step 3."} if status == "failed" else None)
    assert says in todo(client, alice)
    assert ("Out of memory at step 3." in html(client, alice)) == (status == "failed")
    job.seen = True
    job.save()
    assert says not in todo(client, alice)


def test_an_alarm_comes_first(client, alice, train):
    train(name="quiet", status="running")
    train(name="loud", status="running", alarms=[{"kind": "nan", "message": "The loss is NaN."}])
    assert todo(client, alice)[0] == "loud raised an alarm" and "The loss is NaN." in html(client, alice)
    assert not any(text.startswith("quiet") for text in todo(client, alice))


def test_other_peoples_runs_are_theirs_to_look_at(client, bob, alice, train, project):
    Membership.objects.filter(user=bob).update(role="manager")
    train(status="failed")
    assert "dpo failed" not in todo(client, bob)


def test_a_manager_is_told_of_an_empty_project(client, alice, project):
    assert todo(client, alice) == ["Helpful answers has no prompts yet"]


def test_a_manager_is_told_when_labels_are_enough_to_freeze(client, alice, bob, project, make_prompt, dataset):
    make_prompt()
    tally = Tally.objects.create(project=project, labeler=bob, day=timezone.localdate(), labels=10)
    Project.objects.update(labels_wanted=100)
    assert "Helpful answers is ready to freeze" not in todo(client, alice)  # the dataset holds all ten
    tally.labels = 40
    tally.save()
    assert "Helpful answers is ready to freeze" in todo(client, alice)
    assert "30 labels since the last dataset" in html(client, alice)


def test_a_manager_is_told_when_a_project_falls_behind(client, alice, bob, project, make_prompt):
    make_prompt()
    Project.objects.update(created=timezone.now() - timedelta(days=9), labels_wanted=2)
    Tally.objects.create(project=project, labeler=bob, day=timezone.localdate() - timedelta(days=5), labels=1)
    assert "Helpful answers has fallen behind" in todo(client, alice)
    assert "No label for 5 days, 1 to go" in html(client, alice)


def test_everyone_is_told_when_no_worker_listens_and_how_to_start_one(client, bob, project):
    assert "No worker is listening" in html(client, bob) and "<code>studio up</code>" in html(client, bob)
    beat = WorkerBeat.objects.create(name="w", queue="default", seen=timezone.now())
    assert "<code>studio trainer</code>" in html(client, bob)
    WorkerBeat.objects.create(name="t", queue="train", seen=timezone.now())
    assert "No worker" not in html(client, bob)
    beat.seen = timezone.now() - timedelta(minutes=2)
    beat.save()
    assert "<code>studio worker</code>" in html(client, bob)


def test_the_first_visit_of_an_admin_offers_a_project(client, admin_user, listening):
    assert "Begin with a project" in html(client, admin_user) and reverse("project_new") in html(client, admin_user)


def test_somebody_without_projects_learns_what_to_ask_for(client, carol, listening):
    page = html(client, carol)
    assert "Nothing is yours yet" in page and "carol" in page and reverse("project_new") not in page


def test_ten_projects_cost_no_more_queries_than_one(client, alice, project, make_prompt, django_assert_max_num_queries):
    for n in range(10):
        other = Project.objects.create(name=f"Project {n}")
        Membership.objects.create(project=other, user=alice, role="manager")
        make_prompt(f"Question {n}", project=other)
    client.force_login(alice)
    with django_assert_max_num_queries(15):
        client.get(HOME)
    with django_assert_max_num_queries(15):
        client.get(HOME, headers={"HX-Request": "true"})
