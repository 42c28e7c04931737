"""Every verb of the `studio` command: what it does, its one JSON value, and the one clear line when it cannot."""

import json
import os
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from django.contrib.auth import get_user_model
from django.core.management import call_command, load_command_class
from django.core.management.base import CommandError
from django.utils import timezone

from annotation.models import Dataset, Project, Prompt, RankedCompletion, Ranking, StepLabels
from annotation.store import store
from studio.__main__ import DJANGO, VERBS
from studio.models import WorkerBeat
from tests.tiny import tiny_model
from training.models import ModelVersion, TrainingJob

pytest_plugins = ["tests.training.pages"]
ROOT = Path(__file__).resolve().parents[2]
OWN = [verb for verbs in VERBS.values() for verb in verbs if verb not in DJANGO]
ROWS = [{"prompt": f"Question {n}?", "completions": ["Yes.", f"No {n}."]} for n in range(4)]


@pytest.fixture
def admin(db):
    return get_user_model().objects.create_superuser("root", "", "a long password")


@pytest.fixture
def studio(admin):
    """Run a verb; what it prints."""

    def studio(verb, *arguments):
        said = StringIO()
        call_command(verb, *map(str, arguments), stdout=said, stderr=StringIO())
        return said.getvalue()

    return studio


@pytest.fixture
def read(studio):
    """Run a verb with --json; the one value it prints."""
    return lambda verb, *arguments: json.loads(studio(verb, *arguments, "--json"))


@pytest.fixture
def ranked(make_prompt, bob):
    for n in range(4):
        prompt = make_prompt(f"Question {n}?", ("Good.", f"Bad {n}."))
        ranking = Ranking.objects.create(prompt=prompt, labeler=bob)
        for rank, completion in enumerate(prompt.completions.all(), 1):
            RankedCompletion.objects.create(ranking=ranking, completion=completion, rank=rank, shown=rank)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def process(*arguments: str, **env: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "studio", *arguments]
    return subprocess.run(command, cwd=ROOT, env=os.environ | env, capture_output=True, text=True)


def test_without_a_verb_it_lists_them_each_with_a_line(tmp_path):
    done = process(STUDIO_HOME=str(tmp_path), DATABASE_URL="", DJANGO_SETTINGS_MODULE="studio.settings")
    assert done.returncode == 0, done.stderr
    lines = [line.split(None, 1) for line in done.stdout.splitlines() if line.startswith("  ")]
    assert [verb for verb, _ in lines] == [verb for verbs in VERBS.values() for verb in verbs]
    assert all(len(words) == 2 for words in lines)


def test_a_studio_that_was_never_started_says_so_in_one_line(tmp_path):
    done = process(
        "project", "--json", STUDIO_HOME=str(tmp_path), DATABASE_URL="", DJANGO_SETTINGS_MODULE="studio.settings"
    )
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.strip().count("\n") == 0
    assert "did `studio migrate` run?" in done.stderr


@pytest.mark.parametrize("verb", OWN)
def test_every_verb_says_what_it_takes(verb):
    text = load_command_class("studio", verb).create_parser("studio", verb).format_help()
    assert "--json" in text and "--user" in text


def test_a_project_is_made_and_listed(studio, read, admin):
    assert read("project", "Kind answers", "--labels", 2) == {"slug": "kind-answers"}
    made = Project.objects.get()
    assert made.labels_wanted == 2 and made.role_of(admin) == "manager"
    assert [row["slug"] for row in read("project")] == ["kind-answers"]
    assert studio("project").startswith("kind-answers")


def test_a_file_is_imported_and_exported_and_imported_again(read, studio, project, file, tmp_path):
    report = read("import", project.slug, file)
    assert (report["status"], report["rows"], report["added"], report["bad"]) == ("succeeded", 4, 4, 0)
    assert read("import", project.slug, file)["added"] == 0
    assert read("export", project.slug, tmp_path / "out.jsonl") == {"path": str(tmp_path / "out.jsonl"), "prompts": 4}
    read("project", "Copy")
    assert read("import", "copy", tmp_path / "out.jsonl")["added"] == 4
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_columns_are_mapped_and_strict_lands_all_or_none(read, studio, project, tmp_path):
    path = tmp_path / "odd.jsonl"
    path.write_text('{"ask": "Why?", "left": "A", "right": "B"}\nnot json\n')
    which = ["--map", "prompt=ask", "--map", "completions=left", "--map", "completions=right"]
    with pytest.raises(SystemExit) as ended:
        studio("import", project.slug, path, *which, "--strict", "--json")
    assert ended.value.code == 1 and not project.prompts.exists()
    assert read("import", project.slug, path, *which)["bad"] == 1
    prompt = project.prompts.get()
    assert prompt.text == "Why?" and [c.text for c in prompt.completions.all()] == ["A", "B"]


def test_traces_go_from_a_file_to_stepwise_and_outcome_rows_and_out_again(read, studio, admin, tmp_path):
    made = read("project", "Sums", "--kind", "steps", "--split", "line")
    path = tmp_path / "solved.jsonl"
    rows = [{"question": f"{n} + 1?", "answer": f"Add 1.\nSo {n + 1}.\n#### {n + 1}"} for n in range(4)]
    path.write_text("\n".join(map(json.dumps, rows)))
    assert read("import", "sums", path, "--map", "shape=solutions", "--map", "solution=answer")["added"] == 4
    with pytest.raises(CommandError, match="rule is 'words'; known are blank_line"):
        studio("import", "sums", path, "--map", "shape=solutions", "--map", "solution=answer", "--map", "rule=words")
    answers = read("freeze", made["slug"], "Answers", "--shape", "outcome")
    assert (answers["status"], answers["rows_train"] + answers["rows_eval"]) == ("ready", 4)
    with pytest.raises(CommandError, match="none with labels by people"):
        studio("freeze", "sums", "Steps")
    StepLabels.objects.bulk_create(
        StepLabels(prompt=prompt, kind="model", source="prm", ratings=[1, -1], scores=[0.75, 0.25])
        for prompt in Prompt.objects.all()
    )
    soft = ["--sources", "people,model:prm", "--labels", "soft", "--policy", "first_error", "--neutral", "out"]
    assert read("freeze", "sums", "Steps", *soft)["status"] == "ready"
    line = json.loads(store().fetch("datasets/steps/train.jsonl").open().readline())
    assert line["labels"] == [0.75, 0.25] and line["completions"][0] == "Add 1."
    assert read("export", "sums", tmp_path / "p.jsonl", "--format", "prm800k")["lines"] == 4
    read("project", "Ranked")
    with pytest.raises(CommandError, match="holds no traces"):
        studio("export", "ranked", "--format", "prm800k")


def test_rankings_are_frozen_and_freezing_again_gives_the_same(read, studio, project, ranked):
    made = read("freeze", project.slug, "Polite")
    assert made["status"] == "ready" and made["rows_train"] + made["rows_eval"] == 4
    assert studio("freeze", project.slug, "Polite").startswith("was frozen before: polite:")
    assert Dataset.objects.count() == 1


def test_a_model_is_registered_from_a_folder_and_listed(read, studio, tmp_path):
    assert studio("models") == "No model yet: studio models --folder PATH\n"
    tiny_model(tmp_path / "little")
    assert read("models", "--folder", tmp_path / "little", "--name", "Little") == {
        "slug": "little-v1",
        "status": "ready",
    }
    (row,) = read("models")
    assert row["slug"] == "little-v1" and row["parameters"] > 0


def test_a_training_is_queued_with_its_settings_listed_and_cancelled(read, studio, pairs_dataset, small_model):
    given = ["--dataset", "pairs", "--model", "small-v1"]
    made = read("train", "dpo", *given, "--preset", "smoke", "--set", "beta=0.2", "--name", "Manners")
    assert made == {"id": TrainingJob.objects.get().pk, "status": "queued"}
    settings = TrainingJob.objects.get().settings
    assert settings["beta"] == 0.2 and settings["max_steps"] == 4
    assert [row["name"] for row in read("jobs")] == ["Manners"]
    assert read("jobs", "--cancel", made["id"])["status"] == "cancelled"
    assert read("jobs", "--resume", made["id"])["status"] == "queued"
    assert read("jobs", "--show", made["id"])["status"] == "queued"


def test_models_answer_are_scored_and_compared(read, studio, registered, project, ranked):
    (answer,) = read("generate", "small-v1", "Hello?", "--max-tokens", 4, "--seed", 1)
    assert set(answer) == {"text", "finish_reason"}
    scores = read("score", "taste-v1", "--prompt", "Hello?", "--completion", "Hi.", "--completion", "Go.")
    assert [row["completion"] for row in scores] == ["Hi.", "Go."] and scores[0]["score"] != scores[1]["score"]
    steps = read(
        "score", "steps-v1", "--prompt", "Why?", "--completion", "One.\n\nTwo.", "--step", "A.", "--step", "B."
    )
    assert [row["steps"] for row in steps] == [["A.", "B."], ["One.", "Two."]]
    assert all(0 < p < 1 for row in steps for p in row["scores"])
    by_line = read("score", "steps-v1", "--prompt", "Why?", "--completion", "One.\nTwo.", "--split", "line")
    assert by_line == [steps[1] | {"scores": pytest.approx(steps[1]["scores"], abs=1e-5)}]  # another batch
    (whole,) = read("score", "answers-v1", "--prompt", "Why?", "--completion", "One.\n\nTwo.")
    assert read("score", "answers-v1", "--prompt", "Why?", "--step", "One.", "--step", "Two.")[0]["scores"] == [
        None,
        pytest.approx(whole["score"], abs=1e-5),
    ]
    studio("freeze", project.slug, "Polite", "--eval-share", 0.5)
    asked = ["small-v1", "wide-v1", "--scorer", "taste-v1", "--dataset", "polite", "--n", 1, "--max-tokens", 4]
    share = read("compare", *asked)
    assert 0 <= share["low"] <= share["value"] <= share["high"] <= 1 and share["count"] >= 1


@pytest.mark.django_db(transaction=True)
def test_a_problem_is_searched_and_strategies_are_evaluated(read, studio, registered, tmp_path):
    few = ["--max-tokens", 16, "--step-tokens", 6, "--separator", "e", "--seed", 3, "--depth", 3]
    asked = ["search", "small-v1", "What is 2 + 2?", "--scorer", "steps-v1", "--reference", 4, "--n", 4, *few]
    said = read(*asked, "--strategy", "beam")
    assert (said["status"], said["strategy"]) == ("succeeded", "beam")
    assert sum(said["nodes"].values()) > 3 and said["policy_tokens"] > 0 and said["scorer_tokens"] > 0
    assert f"Its tree: /search/{said['id'] + 1}/" in studio(*asked)
    (tmp_path / "sums.jsonl").write_text(
        '{"question": "1 + 1?", "answer": "2"}\n{"problem": "2 + 2?", "reference": 4}\n'
    )
    asked = ["search", "small-v1", "--file", tmp_path / "sums.jsonl", "--scorer", "steps-v1", *few]
    asked += ["--strategies", "majority,weighted,beam", "--n", "1,2"]
    points = read(*asked)["points"]
    assert [(p["strategy"], p["n"]) for p in points[:3]] == [("majority", 1), ("majority", 2), ("weighted", 1)]
    assert all(p["low"] <= p["accuracy"] <= p["high"] and p["problems"] == 2 for p in points)
    assert "weighted best of N" in studio(*asked)


@pytest.mark.django_db(transaction=True)
def test_a_model_answers_the_prompts_of_a_project(read, registered, project, tmp_path):
    (tmp_path / "prompts.txt").write_text("Alone?\n")
    read("import", project.slug, tmp_path / "prompts.txt")
    asked = ["generate", "small-v1", "--project", project.slug, "--n", 2, "--max-tokens", 16, "--seed", 7]
    assert read(*asked) == {"status": "succeeded", "done": 1}
    assert read(*asked) == {"done": 0}


def test_workers_that_listen_are_shown(read, studio):
    assert read("beats") == []
    WorkerBeat.objects.create(name="worker-1@here default", queue="default", seen=timezone.now())
    assert [beat["queue"] for beat in read("beats")] == ["default"]
    with pytest.raises(CommandError, match="No worker of this machine"):
        studio("beats", "--host-is-listening")


def test_settings_are_printed_without_secrets(read, studio, monkeypatch):
    monkeypatch.setenv("STUDIO_SECRET_KEY", "hush " * 20)
    monkeypatch.setenv("DATABASE_URL", "postgres://someone:hush@127.0.0.1/x")
    said = read("settings")
    assert said["STUDIO_SECRET_KEY"] == said["DATABASE_URL"] == "(set)"
    assert "hush" not in studio("settings")


def test_the_model_server_is_asked_how_it_is(read, studio, served, settings, monkeypatch):
    settings.SERVER_TOKEN = "the-model-server's-own-token"
    assert "models" in read("server", "--check", "--port", served.url.rsplit(":", 1)[-1])
    with pytest.raises(CommandError, match="No model server answers on port 1"):
        studio("server", "--check", "--port", 1)


WRONG = [
    (["import", "nowhere", "x.jsonl"], "There is no x.jsonl."),
    (["import", "nowhere", __file__], "No project 'nowhere'. There is: helpful-answers."),
    (["import", "helpful-answers", __file__, "--map", "prompt"], "--map takes FIELD=COLUMN, not 'prompt'."),
    (["import", "helpful-answers", "{empty}"], "The file is empty."),
    (["export", "nowhere"], "No project 'nowhere'."),
    (["export", "helpful-answers", "/proc/nowhere/x.jsonl"], "cannot be written"),
    (["freeze", "nowhere", "Name"], "No project 'nowhere'."),
    (["freeze", "helpful-answers", "Name"], "are no ranked prompts"),
    (["freeze", "helpful-answers", "Name", "--eval-share", "7"], "between 1 % and 50 %"),
    (["project", " "], "name: This field cannot be blank."),
    (["project", "x" * 200], "at most 120 characters"),
    (["project", "Fine", "--labels", "0"], "--labels takes 1 to 100, not 0."),
    (["project", "Fine", "--user", "nobody"], "No user 'nobody'."),
    (["models", "--folder", "/nowhere"], "/nowhere holds no config.json"),
    (["models", "--hub", "no such id!"], "is no hub id"),
    (["models", "--endpoint", "ftp://x"], "is not the base URL of an endpoint"),
    (["train", "dpo", "--dataset", "none", "--model", "small-v1"], "No dataset 'none'. There is: pairs."),
    (["train", "dpo", "--dataset", "pairs", "--model", "none"], "No model 'none'. There is: small-v1."),
    (["train", "dpo", "--dataset", "pairs", "--model", "small-v1", "--set", "beta"], "--set takes NAME=VALUE"),
    (["train", "dpo", "--dataset", "pairs", "--model", "small-v1", "--set", "beta=much"], "beta must be a number"),
    (["train", "dpo", "--dataset", "pairs", "--model", "small-v1", "--set", "gamma=1"], "gamma: not a setting of dpo."),
    (["train", "dpo", "--dataset", "pairs", "--model", "small-v1", "--preset", "huge"], "no preset 'huge'"),
    (["train", "dpo", "--dataset", "pairs", "--model", "small-v1", "--executor", "moon"], "moon"),
    (["train", "magic", "--dataset", "pairs", "--model", "small-v1"], "invalid choice: 'magic'"),
    (["jobs", "--show", "7"], "No job '7'. There is: none yet."),
    (["jobs", "--show", "seven"], "No job 'seven'."),
    (["generate", "none", "Hello"], "No model 'none'."),
    (["generate", "small-v1"], "Give a message to answer, or --project."),
    (["generate", "small-v1", "Hello"], "The model server at http://127.0.0.1:1/v1 does not answer"),
    (["score", "small-v1", "--prompt", "a", "--completion", "b"], "does not answer"),
    (["score", "small-v1", "--prompt", "a"], "Say what to score"),
    (["search", "small-v1"], "Give a problem, or --project, or --file."),
    (["search", "small-v1", "2 + 2?"], "Best of n needs a scorer"),
    (["search", "small-v1", "2 + 2?", "--strategy", "guess"], "'guess' is not a strategy; there are majority,"),
    (["search", "small-v1", "2 + 2?", "--strategy", "majority", "--n", "many"], "many"),
    (["search", "small-v1", "2 + 2?", "--strategy", "majority"], "does not answer"),
    (["search", "small-v1", "--file", "/no/such.jsonl", "--strategy", "majority"], "/no/such.jsonl cannot be read"),
    (["search", "none", "2 + 2?"], "No model 'none'. There is: small-v1."),
    (["compare", "small-v1", "none", "--scorer", "small-v1", "--dataset", "pairs"], "No model 'none'."),
]


@pytest.mark.parametrize(("words", "says"), WRONG, ids=[f"{w[0]}: {s[:40]}" for w, s in WRONG])
def test_what_cannot_be_done_is_one_clear_line(
    studio, settings, project, pairs_dataset, small_model, tmp_path, words, says
):
    settings.MODEL_SERVER_URL = "http://127.0.0.1:1"
    (tmp_path / "empty").touch()
    with pytest.raises(CommandError) as refused:
        studio(*(word.format(empty=tmp_path / "empty") if word == "{empty}" else word for word in words), "--json")
    text = str(refused.value)
    assert says in text and "\n" not in text and refused.value.returncode != 0
    assert (Project.objects.count(), ModelVersion.objects.count(), TrainingJob.objects.count()) == (1, 1, 0)


def test_a_training_that_runs_or_succeeded_is_not_resumed(studio, make_job):
    job = make_job(status="succeeded")
    with pytest.raises(CommandError, match="only a stopped, cancelled or failed job"):
        studio("jobs", "--resume", job.pk)


def test_without_an_admin_nothing_is_half_made(db):
    for words in (["project", "Mine"], ["models", "--hub", "owner/name"]):
        with pytest.raises(CommandError, match="No admin yet: run `studio createsuperuser`."):
            call_command(*words)
    assert not Project.objects.exists() and not ModelVersion.objects.exists()


def test_a_file_that_cannot_be_finished_leaves_the_older_export_alone(
    studio, project, make_prompt, tmp_path, monkeypatch
):
    make_prompt()
    studio("export", project.slug, tmp_path / "out.jsonl")
    before = (tmp_path / "out.jsonl").read_text()

    def breaks_off(_):
        yield ["half\n"]
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("studio.management.commands.export.export_lines", breaks_off)
    with pytest.raises(CommandError, match="No space left on device. What was there is untouched."):
        studio("export", project.slug, tmp_path / "out.jsonl")
    assert (tmp_path / "out.jsonl").read_text() == before
    assert [path.name for path in tmp_path.iterdir()] == ["out.jsonl"]
