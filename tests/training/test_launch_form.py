"""The launch page: what it offers, whose it is, presets filled in, and no launch without a check."""

import json
import re
from datetime import timedelta

import pytest
from django.utils import timezone

from annotation.models import Dataset, Membership, Project
from annotation.store import store
from studio.models import WorkerBeat
from tests.tiny import tiny_model
from tests.training.recipes.conftest import planted_traces, write_rows
from tests.training.test_settings_form import posted
from training import preflights
from training.jobs import BadJob, launch
from training.launch_form import SettingsForm, preset
from training.models import ModelVersion, Preflight, TrainingJob
from training.report import digest

pytest_plugins = ["tests.training.pages"]


def text(response) -> str:
    return re.sub(r"\s+", " ", response.content.decode())


@pytest.fixture
def rows(pairs_dataset):
    """Freeze twenty pairs and four held-out ones."""

    def pair(n: int) -> dict:
        says = {
            "prompt": ("user", f"Question {n}?"),
            "chosen": ("assistant", "Yes, gladly."),
            "rejected": ("assistant", "No."),
        }
        return {key: [{"role": role, "content": content}] for key, (role, content) in says.items()}

    folder = store().work(pairs_dataset.folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, span in (("train", range(24)), ("eval", range(24, 28))):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(pair(n)) + "\n" for n in span))
    Dataset.objects.filter(pk=pairs_dataset.pk).update(rows_train=24, rows_eval=4)
    return pairs_dataset


@pytest.fixture
def chat_model(alice):
    model = ModelVersion.objects.create(name="Tiny", slug="tiny-v1", created_by=alice)
    tiny_model(store().work(model.folder))
    return model


@pytest.fixture
def form(client, alice, project, rows, chat_model):
    """What alice sends, with changes."""
    client.force_login(alice)
    known = {"project": project.pk, "dataset": rows.pk, "recipe": "dpo", "base_model": chat_model.pk, "device": "cpu"}
    known |= {"executor": "local", "processes": "", "queue": "train"}
    known |= posted(SettingsForm("dpo", initial=preset("dpo", "smoke"))) | {"action": "check"}
    return lambda **changes: known | changes


@pytest.fixture
def checked(client, form):
    """Check these settings for real, and return what was found."""

    def check(**changes) -> Preflight:
        answer = client.post("/train/new/", form(**changes))
        assert answer.status_code == 302, text(answer)
        found = Preflight.objects.get(pk=re.search(r"check=(\d+)", answer.url).group(1))
        preflights.run(found)
        found.refresh_from_db()
        return found

    return check


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


def test_the_check_reads_the_rows_and_shows_what_it_found(client, checked):
    check = checked()
    html = text(client.get(f"/train/new/?check={check.pk}"))
    assert check.status == "ready", check.message
    assert "24 of 24" in html and 'hx-trigger="every' not in html
    assert re.search(r'value="smoke" data-refill( ?)checked', html)
    assert "Direct preference optimization" in html
    assert '<span class="learned">' in html and "<rect" in html
    assert 'value="launch"' in html


def test_a_check_waits_for_a_worker_and_says_so(client, form):
    answer = client.post("/train/new/", form(), follow=True)
    html = text(answer)
    assert "waiting for a worker" in html and 'hx-trigger="every 1s"' in html
    assert "No worker is listening" in html
    WorkerBeat.objects.create(name="w", queue="default", seen=timezone.now())
    assert "No worker is listening" not in text(client.get(answer.redirect_chain[-1][0]))


def test_a_checked_form_is_launched_exactly_as_checked(client, form, checked):
    check = checked(name="Manners")
    answer = client.post("/train/new/", form(action="launch", check=check.pk, confirmed="1", name="Better name"))
    job = TrainingJob.objects.get()
    assert answer.url == f"/train/{job.pk}/"
    assert (job.status, job.name, job.recipe, job.device) == ("queued", "Better name", "dpo", "cpu")
    assert job.settings == check.settings and job.preflight == check.report
    assert (job.executor, job.queue) == ("local", "train")


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


def test_a_place_changed_after_the_check_is_checked_again(client, form, checked):
    check = checked()
    client.post("/train/new/", form(action="launch", check=check.pk, confirmed="1", executor="accelerate"))
    assert not TrainingJob.objects.exists() and Preflight.objects.first().executor == "accelerate"


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


def test_what_was_changed_after_the_check_is_checked_again(client, form, checked):
    check = checked()
    answer = client.post("/train/new/", form(action="launch", check=check.pk, confirmed="1", **{"set-beta": "0.9"}))
    assert not TrainingJob.objects.exists()
    assert Preflight.objects.count() == 2 and f"check={Preflight.objects.first().pk}" in answer.url


@pytest.mark.parametrize("check", ["", "0", "abc", "99999"])
def test_nothing_is_launched_without_a_check(client, form, check):
    client.post("/train/new/", form(action="launch", check=check, confirmed="1"))
    assert not TrainingJob.objects.exists() and Preflight.objects.count() == 1


def test_an_unfinished_check_does_not_launch(client, form):
    client.post("/train/new/", form())
    client.post("/train/new/", form(action="launch", check=Preflight.objects.get().pk, confirmed="1"))
    assert not TrainingJob.objects.exists()


def test_nobody_launches_with_someone_elses_check(client, form, checked, project, django_user_model):
    check = checked()
    mallory = django_user_model.objects.create_user("mallory", "m@example.org", "a long password")
    Membership.objects.create(project=project, user=mallory, role="manager")
    client.force_login(mallory)
    assert client.get(f"/train/new/?check={check.pk}").status_code == 404
    client.post("/train/new/", form(action="launch", check=check.pk, confirmed="1"))
    assert not TrainingJob.objects.exists()


def test_errors_block_the_launch(client, form, checked):
    check = checked(**{"set-max_length": "3"})
    assert check.report["errors"]
    html = text(client.get(f"/train/new/?check={check.pk}"))
    assert "raise max_length" in html and 'value="launch"' not in html
    client.post("/train/new/", form(action="launch", check=check.pk, confirmed="1", **{"set-max_length": "3"}))
    assert not TrainingJob.objects.exists()


def test_warnings_need_a_tick(client, form, checked, rows):
    folder = store().work(rows.folder)
    (folder / "eval.jsonl").write_text("")
    check = checked()
    assert any("no held-out rows" in warning for warning in check.report["warnings"])
    client.post("/train/new/", form(action="launch", check=check.pk))
    assert not TrainingJob.objects.exists()
    client.post("/train/new/", form(action="launch", check=check.pk, confirmed="1"))
    assert TrainingJob.objects.count() == 1


def test_rows_that_cannot_be_read_are_an_error_that_names_the_line(client, checked, rows):
    (store().work(rows.folder) / "train.jsonl").write_text('{"prompt": []}\nnot json\n')
    check = checked()
    html = text(client.get(f"/train/new/?check={check.pk}"))
    assert "train.jsonl line 1" in html and 'value="launch"' not in html


def test_a_model_whose_files_are_gone_fails_the_check_with_the_reason(client, form, alice):
    gone = ModelVersion.objects.create(name="Gone", slug="gone-v1", created_by=alice)
    client.post("/train/new/", form(base_model=gone.pk))
    check = Preflight.objects.get()
    preflights.run(check)
    check.refresh_from_db()
    assert check.status == "failed" and "models/gone-v1" in check.message
    assert "models/gone-v1" in text(client.get(f"/train/new/?check={check.pk}"))


def test_a_message_that_comes_twice_checks_once(checked):
    check = checked()
    Preflight.objects.filter(pk=check.pk).update(report={"mark": 1})
    preflights.run(check)
    check.refresh_from_db()
    assert check.report == {"mark": 1}
    assert not store().work(check.folder).exists()


def test_a_check_whose_worker_died_is_given_up_in_the_end(client, form):
    client.post("/train/new/", form())
    Preflight.objects.update(status="running", created=timezone.now() - timedelta(hours=1))
    preflights.wake_lost()
    assert Preflight.objects.get().status == "failed"


def test_checks_of_last_week_are_forgotten_when_another_is_asked_for(client, form):
    for days in (6, 8):
        client.post("/train/new/", form())
        Preflight.objects.filter(pk=Preflight.objects.first().pk).update(created=timezone.now() - timedelta(days=days))
    kept, gone = Preflight.objects.order_by("pk")
    client.post("/train/new/", form())
    newest = Preflight.objects.first()
    assert set(Preflight.objects.all()) == {kept, newest} and newest not in (kept, gone)
    assert client.get(f"/train/new/?check={gone.pk}").status_code == 404


def test_token_pieces_and_messages_are_never_markup(client, form, checked, rows):
    evil = "<script>alert(1)</script>"
    row = {"prompt": [{"role": "user", "content": evil}], "chosen": [{"role": "assistant", "content": evil}]}
    row |= {"rejected": [{"role": "assistant", "content": "<img src=x onerror=alert(1)>"}]}
    (store().work(rows.folder) / "train.jsonl").write_text(json.dumps(row) + "\n")
    html = client.get(f"/train/new/?check={checked(name=evil).pk}").content.decode()
    assert "<script>alert" not in html and "<img src" not in html


def test_a_report_that_lacks_parts_is_still_shown():
    assert digest({})["lengths"] is None
    assert digest({"lengths": {}, "rows": {"train": {}}, "examples": None})["rows"] == {}


def test_the_length_chart_has_a_bar_for_every_bin_that_holds_rows_and_a_line_at_the_limit():
    part = {"bin_width": 10, "counts": [1, 0, 4], "median": 25, "p95": 29, "max": 29}
    chart = digest({"lengths": {"prompt": part, "chosen": part}}, max_length=20)["lengths"]
    assert [len(row["bars"]) for row in chart["rows"]] == [2, 2]
    assert chart["left"] < chart["limit"] < chart["width"]
    assert digest({"lengths": {"prompt": part}}, max_length=1000)["lengths"]["limit"] is None


@pytest.fixture
def traces(project, alice):
    """A frozen dataset of labeled steps."""
    fields = {"status": "ready", "rows_train": 24, "rows_eval": 4, "shape": "stepwise", "created_by": alice}
    made = Dataset.objects.create(project=project, slug="steps", name="Labeled steps", **fields)
    write_rows(store().work(made.folder) / "train.jsonl", planted_traces(24))
    write_rows(store().work(made.folder) / "eval.jsonl", planted_traces(4, seed=1))
    return made


def test_a_check_of_traces_shows_where_labels_are_learned_and_launches(client, form, traces, checked):
    settings = posted(SettingsForm("prm", initial=preset("prm", "smoke") | {"max_length": 60}))
    found = checked(dataset=traces.pk, recipe="prm", shown="prm ", **settings)
    assert found.status == "ready" and found.report["errors"] == []
    html = text(client.get(f"/train/new/?check={found.pk}"))
    assert "24 of 24 rows of train.jsonl are longer than max_length 60 tokens and would be read in overlapping" in html
    pieces = [piece for piece in digest(found.report)["examples"][0] if piece["side"] == "trace"]
    assert pieces[0]["learned"] == 4


def test_a_recipe_is_offered_the_datasets_whose_rows_it_reads(client, form, traces):
    assert "Labeled steps" not in text(client.get("/train/new/?recipe=dpo"))
    html = text(client.get("/train/new/?recipe=prm"))
    assert "Labeled steps" in html and "Polite pairs" not in html and "step_separator" in html
    assert "no frozen dataset with rows that orm reads" in text(client.get("/train/new/?recipe=orm"))
    assert client.post("/train/new/", form(dataset=traces.pk)).status_code == 422
    assert not Preflight.objects.exists()


def test_a_dataset_or_a_project_of_steps_brings_its_recipe(client, form, project, traces):
    assert re.search(r'value="prm" selected', text(client.get(f"/train/new/?dataset={traces.pk}")))
    assert re.search(r'value="dpo" selected', text(client.get(f"/train/new/?project={project.pk}")))
    Project.objects.filter(pk=project.pk).update(kind="steps")
    assert re.search(r'value="prm" selected', text(client.get(f"/train/new/?project={project.pk}")))


def test_a_scorer_of_steps_starts_from_a_policy_or_goes_on_from_one_of_its_kind(client, form, make_model, traces):
    make_model(name="Score", slug="score-v1", makes="reward_model")
    make_model(name="Judge", slug="judge-v1", makes="process_reward_model")
    html = text(client.get("/train/new/?recipe=prm"))
    assert "Judge v1" in html and "Tiny v1" in html and "Score v1" not in html
    assert "Judge v1" not in text(client.get("/train/new/?recipe=dpo"))


def test_the_engine_refuses_rows_of_another_shape_and_says_what_they_are_for(alice, traces, pairs_dataset, chat_model):
    with pytest.raises(BadJob, match="dpo cannot read Labeled steps: its rows are stepwise. They are for prm"):
        launch(alice, traces, "dpo", chat_model)
    Dataset.objects.filter(pk=pairs_dataset.pk).update(rows_train=5)
    pairs_dataset.refresh_from_db()
    with pytest.raises(BadJob, match="prm cannot read Polite pairs: its rows are pairs. They are for sft, reward"):
        launch(alice, pairs_dataset, "prm", chat_model)
    assert launch(alice, traces, "prm", chat_model, {"max_steps": 1}).settings["step_separator"] == r"\n\n"


def test_a_separator_with_line_breaks_comes_back_from_the_form_as_it_was(client, form, traces, make_job):
    settings = {"step_separator": "\n"}
    job = make_job(
        recipe_name="prm", settings=settings, dataset=traces, base_model=ModelVersion.objects.get(slug="tiny-v1")
    )
    assert r'name="set-step_separator" value="\n"' in text(client.get(f"/train/new/?from={job.pk}"))
