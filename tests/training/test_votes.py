"""People's votes beside a run's reward: which are counted, which prompts are held out, and who sees whose."""

import json
import re

import pytest

from annotation.models import Completion, Dataset, Membership, Project, Prompt, RankedCompletion, Ranking, fingerprint
from annotation.store import store
from tests.reading import text
from tests.training.hacked import log_run
from training.models import Generation, ModelVersion, TrainingJob
from training.votes import Votes, against_base, train_prompts

pytest_plugins = ["tests.training.pages"]


def asked(question: str) -> list[dict]:
    return [{"role": "user", "content": question}]


@pytest.fixture
def vote(project, alice):
    """A ranking by alice in which answers of these models stand at these ranks."""

    def cast(question, ranks, where=None, sampling=None, labeler=alice, messages=None):
        prompt = Prompt.objects.create(
            project=where or project, messages=messages or asked(question), text=question,
            fingerprint=fingerprint([question, Prompt.objects.count()]), labels_wanted=1, labels_given=1, open_slots=0,
        )  # fmt: skip
        ranking = Ranking.objects.create(prompt=prompt, labeler=labeler, source="comparison")
        for shown, (model, rank) in enumerate(ranks, 1):
            said = f"{model} {shown}"
            completion = Completion.objects.create(prompt=prompt, text=said, fingerprint=fingerprint(said))
            Generation.objects.create(completion=completion, model=model, sampling=sampling or {})
            RankedCompletion.objects.create(ranking=ranking, completion=completion, rank=rank, shown=shown)

    return cast


@pytest.fixture
def train_on(project, alice, db):
    """A dataset, a new one where none is given, whose train split asks these questions."""
    train_prompts.cache_clear()

    def freeze(*questions, dataset=None):
        dataset = dataset or Dataset.objects.create(
            project=project, slug="older", name="Older rows", status="ready", created_by=alice
        )
        path = store().work(f"{dataset.folder}/train.jsonl")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps({"prompt": asked(question)}) + "\n" for question in questions))
        return dataset

    return freeze


@pytest.fixture
def run(make_job, make_model, small_model, pairs_dataset, train_on):
    """A run that has ended; its dataset trains on two questions."""
    train_on("Trained 1", "Trained 2", dataset=pairs_dataset)
    return make_job(recipe_name="ppo", status="succeeded", model=make_model(base=small_model))


@pytest.fixture
def panel(client, alice, run):
    """What the page says of it."""
    log_run(run, 5)
    TrainingJob.objects.filter(pk=run.pk).update(status="succeeded")

    def read() -> str:
        client.force_login(alice)
        return text(client.get(f"/train/{run.pk}/")).partition('<section id="hacking"')[2].partition("</section>")[0]

    return read


def test_votes_between_a_model_and_its_base_make_a_win_rate_with_an_interval(run, panel, vote):
    ours, base = run.model, run.base_model
    assert "no votes yet" in panel()
    for n in range(8):
        vote(f"Question {n}", [(ours, 1), (base, 2)] if n < 6 else [(base, 1), (ours, 2)])
    vote("A tie", [(ours, 1), (base, 1)])
    html = panel()
    assert "prefer it to its base 72 % of the time" in html and "on 9 held-out prompts" in html
    assert re.search(r"\d+ % to \d+ % \(95 %\)", html) and "not counted" not in html


def test_votes_on_prompts_that_were_trained_on_stand_apart(run, panel, vote, alice):
    ours, base = run.model, run.base_model
    vote("Trained 1", [(ours, 1), (base, 2)])
    vote("Trained 1", [(ours, 1), (base, 2)])
    html = panel()
    assert "no votes on held-out prompts yet" in html
    assert "not counted: 100 % (100 % to 100 %) on 1 prompt that it or its base was trained on" in html
    vote("New", [(base, 1), (ours, 2)])
    found = against_base(run, alice)
    assert (found.held_out.value, found.held_out.count) == (0, 1) and (found.trained.value, found.trained.count) == (
        1,
        1,
    )
    assert "prefer it to its base 0 % of the time" in panel()


@pytest.mark.parametrize(
    ("messages", "held_out"),
    [
        (asked("  Trained\n2 "), False),
        ([{"role": "system", "content": "Be brief."}, *asked("Trained 2")], False),
        ([*asked("Trained 2"), {"role": "assistant", "content": "Yes."}, *asked("Why?")], True),
        (asked("trained 2?"), True),
    ],
)
def test_a_prompt_is_the_same_whatever_its_spaces_and_its_system_message(run, vote, alice, messages, held_out):
    vote("Again", [(run.model, 1), (run.base_model, 2)], messages=messages)
    assert bool(against_base(run, alice).held_out) == held_out


def test_what_the_models_it_started_from_were_trained_on_is_not_held_out(run, make_job, train_on, vote, alice):
    started = make_job(name="Before", status="succeeded", dataset=train_on("Old"), base_model=run.base_model)
    older = ModelVersion.objects.create(name="Before", slug="before-v1", base=run.base_model, source=started.run_dir)
    TrainingJob.objects.filter(pk=run.pk).update(base_model=older)
    run.refresh_from_db()
    for question in ("Old", "Trained 1", "New"):
        vote(question, [(run.model, 1), (older, 2)])
    found = against_base(run, alice)
    assert (found.held_out.count, found.trained.count) == (1, 2)


def test_no_vote_is_called_held_out_where_the_rows_of_a_dataset_are_gone(run, panel, vote, pairs_dataset):
    store().work(f"{pairs_dataset.folder}/train.jsonl").unlink()
    vote("New", [(run.model, 1), (run.base_model, 2)])
    html = panel()
    assert "on 1 prompt; whether they were held out cannot be told" in html and "rows of Polite pairs" in html
    assert "held-out prompt" not in html.partition("<dt>People</dt>")[2]


def test_votes_on_others_of_searches_and_from_files_are_not_counted(run, make_model, vote, alice):
    ours, base, other = run.model, run.base_model, make_model(name="Other", slug="other-v1")
    vote("With another", [(ours, 1), (other, 2)])
    vote("Searched", [(ours, 1), (base, 2)], sampling={"strategy": "beam"})
    vote("From a file", [(ours, 1), (base, 2)], labeler=None)
    assert against_base(run, alice) == Votes()
    vote("Several answers", [(ours, 1), (base, 2), (ours, 3), (other, 4)])
    assert against_base(run, alice).held_out.value == 0.5


def test_votes_in_a_project_one_does_not_belong_to_are_not_told(run, vote, carol, alice):
    theirs = Project.objects.create(slug="theirs", name="Theirs")
    Membership.objects.create(project=theirs, user=carol, role="manager")
    vote("Elsewhere", [(run.model, 1), (run.base_model, 2)], where=theirs, labeler=carol)
    assert against_base(run, alice) == Votes() and against_base(run, carol).held_out.count == 1
