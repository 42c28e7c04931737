"""Step labels freeze into rows for reward models: whose, hard or soft, up to where; split by problem."""

import hashlib
import json

import pytest

from annotation.freezing.freeze import NotFrozen, freeze, held_out_prompts
from annotation.importing.ingest import import_path
from annotation.models import Dataset, Prompt, StepLabels
from annotation.steps.labeled import sources_of
from annotation.store import store
from tests.annotation.traces import SHARED, shared, steps_project, write

pytestmark = pytest.mark.django_db


@pytest.fixture
def sums(alice, bob, tmp_path):
    """Twelve problems with two solutions of three steps each; nobody has labeled them."""
    made = steps_project(alice, bob, labels_wanted=2)
    rows = [
        {"problem": f"{n} + 1?", "steps": [f"Take {n}.", "Add 1.", f"So {n + wrong}."], "target": str(n + 1)}
        for n in range(12)
        for wrong in (1, 2)
    ]
    import_path(made, write(tmp_path, *rows))
    return made


def say(prompt, ratings, labeler=None, kind="page", **fields):
    kind = kind if labeler else fields.pop("as_kind", "import")
    return StepLabels.objects.create(prompt=prompt, labeler=labeler, kind=kind, ratings=ratings, **fields)


def say_all(project, ratings, labeler=None, **fields):
    return [say(prompt, ratings, labeler, **fields) for prompt in project.prompts.order_by("pk")]


def now(project, name="Steps", shape="", **options):
    return freeze(project, name, options, background=False, shape=shape)


def rows(dataset, split=None):
    splits = [split] if split else ["train", "eval"]
    return [json.loads(line) for s in splits for line in store().fetch(f"{dataset.folder}/{s}.jsonl").open()]


def test_what_people_marked_becomes_rows_split_by_problem_with_a_fingerprint(sums, bob):
    said = say_all(sums, [1, 1, -1], bob)
    dataset = now(sums, eval_share=0.3)
    train, held_out = rows(dataset, "train"), rows(dataset, "eval")
    assert (dataset.shape, dataset.status, dataset.rows_train, dataset.rows_eval) == (
        "stepwise",
        "ready",
        len(train),
        len(held_out),
    )
    assert len(train) + len(held_out) == 24 == dataset.ranking_count and held_out
    problems = [{row["prompt"][0]["content"] for row in split} for split in (train, held_out)]
    assert not problems[0] & problems[1] and all(len(split) % 2 == 0 for split in (train, held_out))
    first = next(row for row in train + held_out if row["prompt_id"] == said[0].prompt_id)
    assert first == {
        "prompt": [{"role": "user", "content": "0 + 1?"}],
        "completions": ["Take 0.", "Add 1.", "So 1."],
        "labels": [True, True, False],
        "prompt_id": said[0].prompt_id,
        "step_labels": said[0].pk,
    }
    folder = store().fetch(dataset.folder)
    whole = (folder / "train.jsonl").read_bytes() + (folder / "eval.jsonl").read_bytes()
    assert dataset.fingerprint == hashlib.sha256(whole).hexdigest()
    assert len(held_out_prompts(dataset)) == len(problems[1])


def test_the_same_labels_give_the_same_dataset_and_a_changed_mark_another(sums, bob):
    said = say_all(sums, [1, 1, -1], bob)
    first = now(sums)
    assert now(sums, "Again").again and Dataset.objects.count() == 1
    StepLabels.objects.filter(pk=said[0].pk).update(ratings=[1, -1, -1])
    changed = now(sums)
    assert not changed.again and changed.fingerprint != first.fingerprint
    StepLabels.objects.filter(pk=said[0].pk).update(ratings=[1, 1, -1])
    back = now(sums)
    assert back.pk == first.pk
    Dataset.objects.filter(pk=first.pk).update(status="failed")
    assert now(sums, "Twin").fingerprint == first.fingerprint


def test_the_first_chosen_source_of_a_trace_counts_and_the_report_says_whose(sums, bob):
    say_all(sums, [1, 1, 1], source="a.jsonl")
    for prompt in sums.prompts.order_by("pk")[:4]:
        say(prompt, [-1], bob)
    both = now(sums, sources=["people", "import"])
    assert sorted(row["labels"][0] for row in rows(both)) == [False] * 4 + [True] * 20
    assert both.report["sources"] == {"import:a.jsonl": 20, "bob": 4}
    assert both.report["contradictions"] == 4 and both.report["examples"][0]["sources"] == ["bob", "import:a.jsonl"]
    other = now(sums, sources=["import:a.jsonl", "people"])
    assert all(row["labels"] == [True, True, True] for row in rows(other))
    people = now(sums)
    assert len(rows(people)) == 4 and people.report["left_out"] == {"not labeled by the chosen sources": 20}


def test_a_file_that_names_its_labelers_is_one_source_or_several(sums):
    for name, ratings in (("a.jsonl:eve", [1, 1, 1]), ("a.jsonl:mallory", [-1])):
        say_all(sums, ratings, source=name)
    assert sources_of(sums) == [("import:a.jsonl", 48)]
    assert rows(now(sums, sources=["import:a.jsonl:eve"]))[0]["labels"] == [True, True, True]
    assert rows(now(sums, sources=["import:a.jsonl"]))[0]["labels"] == [None, True, True]
    with pytest.raises(NotFrozen):
        now(sums, sources=["import:a"])


def test_soft_labels_are_scores_or_the_share_of_labelers_and_hard_ones_what_most_say(sums, alice, bob):
    for prompt in sums.prompts.all():
        say(prompt, [1, 1, 1], bob)
        say(prompt, [1, -1, 0], alice)
        say(prompt, [1, 1, -1], as_kind="monte-carlo", source="m", scores=[1.0, 0.25, 0.0])
    hard, soft = now(sums), now(sums, labels="soft")
    assert rows(hard)[0]["labels"] == [True, None, True] and rows(hard)[0]["step_labels"] is None
    assert rows(soft)[0]["labels"] == [1.0, 0.5, 1.0]
    assert rows(now(sums, labels="soft", neutral="out"))[0]["labels"] == [1.0, 0.5, 1.0]
    machine = now(sums, labels="soft", sources=["monte-carlo"])
    assert rows(machine)[0]["labels"] == [1.0, 0.25, 0.0]


def test_policies_cut_at_the_first_error_leave_neutral_out_and_unsure_steps_unlabeled(sums, bob):
    say_all(sums, [0, -1, 1], bob, flagged=[2])
    assert rows(now(sums))[0]["labels"] == [True, False, True]
    assert rows(now(sums, policy="first_error"))[0]["labels"] == [True, False, None]
    assert rows(now(sums, neutral="out"))[0]["labels"] == [None, False, True]
    assert rows(now(sums, keep_unsure=False))[0]["labels"] == [True, False, None]


def test_other_texts_that_were_judged_become_rows_with_one_label(sums, bob):
    other = {
        "1": [{"text": "Add 2.", "rating": -1}, {"text": "Add one.", "rating": 1}, {"text": "Add?", "rating": None}]
    }
    for prompt in sums.prompts.all()[:4]:
        say(prompt, [1, 1, -1], bob, alternatives=other, rewrites={"2": {"text": "So it is.", "source": "bob"}})
    dataset = now(sums)
    mine = [row for row in rows(dataset) if row["prompt_id"] == sums.prompts.first().pk]
    assert [row["labels"] for row in mine] == [[True, True, False], [None, False], [None, True], [None, None, True]]
    assert [row["completions"][-1] for row in mine[1:]] == ["Add 2.", "Add one.", "So it is."]
    assert dataset.report["others"] == 12 and dataset.report["traces"] == 4
    assert len(rows(now(sums, others=False))) == 4


def test_bad_problems_and_traces_without_a_mark_are_left_out_and_told(sums, bob):
    prompts = list(sums.prompts.order_by("pk"))
    for prompt in prompts[:6]:
        say(prompt, [1], bob)
    say(prompts[6], [1], bob, bad_problem="broken")
    say(prompts[7], [None, None], bob, gave_up="too_hard")
    dataset = now(sums)
    assert len(rows(dataset)) == 6 == dataset.report["rows"]
    assert dataset.report["left_out"] == {
        "not labeled by the chosen sources": 17,
        "no step is labeled good or bad": 1,
    }
    assert len(rows(now(sums, keep_bad=True))) == 7


def test_the_report_counts_steps_bad_ones_first_errors_and_repeated_solutions(sums, bob, tmp_path):
    for number, prompt in enumerate(sums.prompts.order_by("pk")):
        say(prompt, [1, -1] if number % 3 == 0 else [1, 1, 1], bob)
    import_path(sums, write(tmp_path, {"problem": "0 + 1?", "steps": ["Take 0.", "Add  1.\nSo 1."]}))
    say(sums.prompts.last(), [1, 1], bob)
    report = now(sums).report
    assert (report["rows"], report["prompts"], report["steps"]) == (25, 12, 74)
    assert (report["labeled"], report["bad"], report["without_error"]) == (66, 8, 17)
    assert report["first_errors"] == [[1, 1, 0], [2, 2, 8]] and report["duplicates"] == 1
    assert report["lengths"]["steps"] == [[2, 3, 25]]


def test_outcomes_come_from_final_answers_or_from_the_steps(sums, bob):
    answers = now(sums, shape="outcome")
    assert answers.shape == "outcome" and {row["prompt_id"]: row["label"] for row in rows(answers)} == {
        prompt.pk: number % 2 == 0 for number, prompt in enumerate(sums.prompts.order_by("pk"))
    }
    assert set(rows(answers)[0]) == {"prompt", "completions", "label", "prompt_id"}
    assert answers.report["bad"] == 12 and now(sums, shape="outcome").again
    prompts = list(sums.prompts.order_by("pk"))
    for prompt in prompts[:4]:
        say(prompt, [1, 1, 1], bob)
    for prompt in prompts[4:8]:
        say(prompt, [1, -1], bob)
    say(prompts[8], [1], bob)
    steps = now(sums, shape="outcome", outcome="steps")
    assert sorted(row["label"] for row in rows(steps)) == [False] * 4 + [True] * 4
    assert steps.report["left_out"]["no step is bad, but not every step is labeled"] == 1


def test_a_solution_without_a_reference_or_an_answer_has_no_outcome(alice, tmp_path):
    project = steps_project(alice)
    row = {"problem": "1 + 1?", "steps": ["So 2."]}
    import_path(project, write(tmp_path, row))
    with pytest.raises(NotFrozen, match="here is 1 with a solution"):
        now(project, shape="outcome")
    import_path(project, write(tmp_path, row | {"problem": "1 + 2?"}))
    with pytest.raises(NotFrozen, match="are none with an answer that can be checked"):
        now(project, shape="outcome")
    known = [row | {"problem": f"{n}?", "final_answer_correct": n > 1} for n in range(4)]
    import_path(project, write(tmp_path, *known))
    dataset = now(project, shape="outcome")
    assert sorted(r["label"] for r in rows(dataset)) == [False, False, True, True]
    assert dataset.report["left_out"] == {"no reference answer": 2}


def test_what_makes_no_dataset_says_why_and_what_there_is(sums, project, bob):
    with pytest.raises(NotFrozen, match="here are none with labels by people"):
        now(sums)
    say_all(sums, [1], source="a.jsonl")
    with pytest.raises(NotFrozen, match="labels are there by import:a.jsonl"):
        now(sums)
    say_all(sums, [None], bob)
    with pytest.raises(NotFrozen, match="are none with a step that is good or bad"):
        now(sums)
    for options, why in [
        ({"labels": "warm"}, "labels should be one of hard, soft"),
        ({"policy": "some"}, "policy should be one of all, first_error"),
        ({"sources": "people"}, "sources is a list"),
        ({"margin": True}, "Unknown option 'margin'"),
    ]:
        with pytest.raises(NotFrozen, match=why):
            now(sums, **options)
    with pytest.raises(NotFrozen, match="is frozen as stepwise or .*, not as pairs"):
        now(sums, shape="pairs")
    with pytest.raises(NotFrozen, match="is frozen as pairs.*, not as stepwise"):
        now(project, shape="stepwise")


@shared
def test_traces_with_first_mistakes_freeze_and_are_read_back_with_the_same_labels(alice, tmp_path):
    project, twin = steps_project(alice), steps_project(alice, name="Twin")
    import_path(project, SHARED / "bigbench-mistake/multistep_arithmetic.jsonl")
    dataset = now(project, sources=["import"])
    assert dataset.rows_train + dataset.rows_eval == 300 and dataset.report["rankings"] == 300
    job = import_path(twin, store().fetch(f"{dataset.folder}/train.jsonl"))
    assert (job.added, job.bad) == (dataset.rows_train, 0)
    assert said_of(twin) == {key: said for key, said in said_of(project).items() if key in said_of(twin)}
    assert Prompt.objects.filter(project=twin).count() == dataset.rows_train


def said_of(project):
    rows = StepLabels.objects.filter(prompt__project=project).values_list("prompt__fingerprint", "ratings")
    return {mark: [r for r in ratings if r is not None] for mark, ratings in rows}


@pytest.mark.parametrize("labels", ["hard", "soft"])
def test_parquet_holds_the_same_rows(sums, bob, labels):
    import pyarrow.parquet as pq

    say_all(sums, [1, None, -1], bob)
    stepwise, outcome = now(sums, labels=labels), now(sums, shape="outcome")
    for dataset in (stepwise, outcome):
        table = pq.read_table(store().fetch(f"{dataset.folder}/train.parquet")).to_pylist()
        assert table == rows(dataset, "train")
