"""The launch page: what it offers, whose it is, presets filled in, and where a training may run."""

import re
from datetime import timedelta

import pytest
from django.utils import timezone

from annotation.models import Dataset, Membership, Project
from studio.models import WorkerBeat
from tests.reading import text
from training.models import Preflight, TrainingJob

pytest_plugins = ["tests.training.launching"]


def test_the_form_opens_with_the_persons_own_projects_and_models(client, form, carol, make_model):
    other = Project.objects.create(name="Carol's secret")
    Membership.objects.create(project=other, user=carol, role="manager")
    make_model(name="Secret model", slug="secret-v1", project=other)
    make_model(name="Score", slug="score-v1", makes="reward_model")
    make_model(name="Far", slug="far-v1", endpoint="https://api.example.org/v1")
    html = text(client.get("/train/new/"))
    assert "Polite pairs" in html and "Tiny v1" in html
    for hidden in ("Carol&#x27;s secret", "Secret model", "Score v1", "Far v1"):
        assert hidden not in html


@pytest.mark.parametrize("who", ["bob", "carol"])
def test_only_managers_launch(client, request, form, who):
    client.force_login(request.getfixturevalue(who))
    assert client.get("/train/new/").status_code == 403
    assert client.post("/train/new/", form()).status_code == 403
    assert not Preflight.objects.exists()


def test_someone_elses_dataset_or_model_cannot_be_named(client, form, carol, make_model):
    other = Project.objects.create(name="Other")
    Membership.objects.create(project=other, user=carol, role="manager")
    theirs = Dataset.objects.create(project=other, slug="theirs", name="Theirs", status="ready", rows_train=5)
    model = make_model(name="Theirs", slug="theirs-v1", project=other)
    for changes in ({"dataset": theirs.pk}, {"base_model": model.pk}, {"project": other.pk, "dataset": theirs.pk}):
        assert client.post("/train/new/", form(**changes)).status_code == 422
    assert not Preflight.objects.exists()


@pytest.mark.parametrize("said", ["", "abc", "-1", "999999", "1' OR 1=1", "\x00", "9" * 30])
def test_choices_that_are_no_choices_are_refused(client, form, said):
    for field in ("project", "dataset", "base_model", "recipe", "device", "executor", "queue"):
        assert client.post("/train/new/", form(**{field: said})).status_code in (422, 400), field
        assert (
            client.post("/train/new/", form(**{field: said, "action": "fill", "shown": f"{said} "})).status_code == 200
        )
    assert client.get("/train/new/", {"project": said, "recipe": said, "preset": said}).status_code == 200


def test_another_preset_replaces_the_settings_and_another_project_keeps_them(client, form):
    kept = client.post("/train/new/", form(action="fill", preset="smoke", shown="dpo smoke", **{"set-beta": "0.33"}))
    assert 'value="0.33"' in text(kept)
    replaced = text(
        client.post("/train/new/", form(action="fill", preset="smoke", shown="dpo small", **{"set-beta": "0.33"}))
    )
    assert 'value="0.33"' not in replaced and re.search(r'name="set-max_steps" value="4"', replaced)
    assert not Preflight.objects.exists()


@pytest.mark.parametrize("action", ["check", "launch"])
def test_a_preset_chosen_without_a_script_is_filled_in_before_it_is_checked(client, form, action):
    said = form(action=action, preset="smoke", shown="dpo small", **{"set-beta": "0.33"})
    html = text(client.post("/train/new/", said))
    assert "You chose another recipe or preset" in html and not Preflight.objects.exists()
    assert 'value="0.33"' not in html and re.search(r'name="set-max_steps" value="4"', html)
    assert 'name="shown" value="dpo smoke"' in html
    assert client.post("/train/new/", form(preset="smoke", shown="dpo smoke")).status_code == 302
    assert Preflight.objects.get().settings["max_steps"] == 4


def test_another_recipe_chosen_without_a_script_brings_its_own_settings_before_they_are_checked(client, form):
    html = text(client.post("/train/new/", form(recipe="sft", preset="small", shown="dpo small")))
    assert "You chose another recipe or preset" in html and not Preflight.objects.exists()
    assert 'name="shown" value="sft small"' in html and 'name="set-beta"' not in html


def test_settings_changed_by_hand_are_checked_as_typed(client, form):
    for shown in ({"preset": "smoke", "shown": "dpo smoke"}, {"shown": "dpo "}):
        assert client.post("/train/new/", form(**shown, **{"set-beta": "0.33"})).status_code == 302
        assert Preflight.objects.order_by("-pk").first().settings["beta"] == 0.33


def test_a_run_can_be_repeated_with_its_own_settings(client, form, make_job):
    job = make_job(settings={"beta": 0.77}, name="First try")
    html = text(client.get(f"/train/new/?from={job.pk}"))
    assert 'value="0.77"' in html and 'value="First try"' in html


def test_a_wrong_setting_comes_back_with_what_was_typed(client, form):
    answer = client.post("/train/new/", form(**{"set-beta": "lots"}))
    assert answer.status_code == 422
    assert 'value="lots"' in text(answer) and "beta must be a number" in text(answer)


def listens(queue: str, seconds: int = 0, device: str = "") -> None:
    seen = timezone.now() - timedelta(seconds=seconds)
    WorkerBeat.objects.create(name=f"t@{queue} {queue}", queue=queue, device=device, seen=seen)


def test_where_it_runs_is_chosen_among_the_queues_trainers_listen_to(client, form, checked):
    listens("default"), listens("gpu", device="NVIDIA H100"), listens("old", seconds=300)
    html = text(client.get("/train/new/"))
    assert re.findall(r'<option value="(\w+)"[^>]*>([^<]+)</option>', html.partition('name="queue"')[2])[:3] == [
        ("train", "train: nobody listens now"), ("gpu", "gpu: NVIDIA H100"), ("old", "old: nobody listens now"),
    ]  # fmt: skip
    assert '<details class="card more"><summary><h2>Where it runs' in html
    check = checked(executor="accelerate", processes="2", queue="gpu")
    html = text(client.get(f"/train/new/?check={check.pk}"))
    assert '<details class="card more" open><summary><h2>Where it runs' in html
    assert 'value="accelerate" selected' in html and 'name="processes" value="2"' in html
    where = {"executor": "accelerate", "processes": "2", "queue": "gpu"}
    client.post("/train/new/", form(action="launch", check=check.pk, confirmed="1", **where))
    job = TrainingJob.objects.get()
    assert (job.executor, job.queue) == ("accelerate:2", "gpu")
    assert 'value="accelerate" selected' in text(client.get(f"/train/new/?from={job.pk}"))


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ({"queue": "nowhere"}, "No trainer listens to a queue “nowhere”"),
        ({"queue": "default"}, "No trainer listens to a queue “default”"),
        ({"executor": "slurm"}, "slurm is not one of the available choices"),
        ({"executor": "accelerate", "processes": "0"}, "greater than or equal to 1"),
        ({"executor": "accelerate", "processes": "many"}, "Enter a whole number"),
        ({"processes": "4"}, "This interpreter is one process"),
    ],
)
def test_a_place_that_is_none_is_refused_at_its_field(client, form, said, says):
    listens("default")
    answer = client.post("/train/new/", form(**said))
    opened = text(answer).partition('<details class="card more" open><summary><h2>Where it runs')[2]
    assert answer.status_code == 422 and says in opened and not Preflight.objects.exists()
