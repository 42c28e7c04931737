"""Traces land once, a prompt a solution, with what each source says of them; people are still asked for theirs."""

import pytest

from annotation.importing.cells import BadFile, BadRow
from annotation.importing.ingest import import_path
from annotation.models import Alternative, Completion, Prompt, StepLabels, Tally, fingerprint
from annotation.steps.landing import add_solutions
from tests.annotation.traces import SHARED, shared, steps_project, write

pytestmark = pytest.mark.django_db
ROW = {"problem": "2 + 2 * 2?", "steps": ["2 * 2 = 4", "2 + 4 = 6"], "target": "6", "mistake_index": None}


@pytest.fixture
def sums(alice, bob):
    return steps_project(alice, bob, labels_wanted=2)


def counters_agree(project):
    project.refresh_from_db()
    assert project.prompt_count == project.prompts.count()
    for prompt in project.prompts.all():
        traces = prompt.completions.count()
        assert traces <= 1 and prompt.labels_given == 0
        assert prompt.open_slots == (prompt.labels_wanted if traces else 0)
        assert prompt.problem == fingerprint(prompt.messages)


def counts():
    return [model.objects.count() for model in (Prompt, Completion, StepLabels, Alternative)]


def test_a_trace_is_a_prompt_with_its_steps_and_imported_labels_take_no_slot(sums, tmp_path):
    job = import_path(sums, write(tmp_path, ROW, name="marked.jsonl"))
    assert (job.status, job.added, job.known, job.bad) == ("succeeded", 1, 0, 0)
    prompt = sums.prompts.get()
    completion, said = prompt.completions.get(), prompt.step_labels.get()
    assert completion.steps == ROW["steps"] and completion.text == "2 * 2 = 4\n\n2 + 4 = 6"
    assert completion.fingerprint == fingerprint(completion.text)
    assert prompt.fingerprint == fingerprint([prompt.messages, completion.steps]) and prompt.reference == "6"
    assert (said.name, said.ratings, said.labeler, said.scores) == ("import:marked.jsonl", [1, 1], None, None)
    assert (prompt.open_slots, prompt.labels_given, prompt.labels_wanted) == (2, 0, 2)
    assert not Tally.objects.exists()
    counters_agree(sums)


def test_another_solution_is_another_prompt_of_the_same_problem(sums, tmp_path):
    import_path(sums, write(tmp_path, ROW, ROW | {"steps": ["8"], "mistake_index": 0}))
    first, second = sums.prompts.all()
    assert first.problem == second.problem and first.messages == second.messages
    assert first.fingerprint != second.fingerprint
    counters_agree(sums)


@shared
@pytest.mark.parametrize(
    "name",
    [
        "prm-formats/samples_prm800k.jsonl",
        "prm-formats/samples_math-shepherd.jsonl",
        "prm-formats/samples_math-aps.jsonl",
        "prm-formats/samples_math-aps-tree.jsonl",
        "bigbench-mistake/multistep_arithmetic.jsonl",
    ],
)
def test_importing_the_same_file_again_adds_nothing(sums, name):
    first = import_path(sums, SHARED / name)
    before = counts()
    again = import_path(sums, SHARED / name)
    assert first.added and first.bad == 0 and (again.added, again.bad) == (0, 0)
    assert again.known == first.added + first.known and counts() == before
    counters_agree(sums)


def test_a_problem_that_waits_gets_its_first_solution_and_is_known_afterwards(sums, tmp_path):
    alone = {"problem": ROW["problem"]}
    import_path(sums, write(tmp_path, alone))
    waiting = sums.prompts.get()
    assert waiting.open_slots == 0 and waiting.fingerprint == waiting.problem
    import_path(sums, write(tmp_path, ROW))
    filled = sums.prompts.get()
    assert filled.pk == waiting.pk and filled.completions.get().steps == ROW["steps"] and filled.reference == "6"
    job = import_path(sums, write(tmp_path, alone))
    assert (job.added, job.known) == (0, 1)
    counters_agree(sums)


def test_a_problem_and_its_solutions_in_one_file_are_no_more_prompts_than_solutions(sums, tmp_path):
    alone, other = {"prompt": ROW["problem"], "steps": None, "labels": []}, ROW | {"prompt": ROW["problem"]}
    lines = [
        {"prompt": o["prompt"], "steps": s, "labels": []} for o, s in ((other, ["a"]), (alone, None), (other, ["b"]))
    ]
    import_path(sums, write(tmp_path, alone, *lines))
    assert sorted(c.steps for c in Completion.objects.all()) == [["a"], ["b"]] and sums.prompts.count() == 2
    counters_agree(sums)


def test_a_source_that_says_something_else_later_is_reported_and_the_first_stays(sums, tmp_path):
    import_path(sums, write(tmp_path, ROW))
    job = import_path(sums, write(tmp_path, ROW | {"mistake_index": 1}))
    assert job.bad == 1 and "has said something else of this solution before" in job.problems[0]["reason"]
    assert StepLabels.objects.get().ratings == [1, 1]
    other = import_path(sums, write(tmp_path, ROW | {"mistake_index": 1}, name="other.jsonl"))
    assert other.added == 1 and StepLabels.objects.count() == 2 and sums.prompts.count() == 1


def test_bad_rows_are_told_by_row_and_a_strict_import_takes_all_or_none(sums, tmp_path):
    path = write(tmp_path, ROW, ROW | {"steps": []}, ROW | {"steps": ["8"], "mistake_index": 4})
    job = import_path(sums, path, strict=True)
    assert job.status == "failed" and not sums.prompts.exists() and not StepLabels.objects.exists()
    job = import_path(sums, path)
    assert [problem["row"] for problem in job.problems] == [2, 3] and job.added == 1
    assert job.problems[0]["reason"].startswith("there are no steps")


def test_rows_for_the_other_kind_of_project_are_refused_with_where_they_go(sums, project, tmp_path):
    with pytest.raises(BadFile, match="Import them into a project of kind steps"):
        import_path(project, write(tmp_path, ROW))
    with pytest.raises(BadFile, match="Import them into a project of kind ranking"):
        import_path(sums, write(tmp_path, {"prompt": "Hi?", "chosen": "a", "rejected": "b"}))
    with pytest.raises(BadFile, match="this one is of kind steps"):
        import_path(sums, write(tmp_path, {"prompt": "Hi?"}), {"shape": "prompts"})


def test_whole_solutions_follow_the_projects_rule_unless_another_is_asked_for(sums, tmp_path):
    row = {"prompt": "p?", "completion": "One.\nTwo.\n\nThree."}
    import_path(sums, write(tmp_path, row))
    import_path(sums, write(tmp_path, row), {"rule": "line"})
    assert sorted(len(c.steps) for c in Completion.objects.all()) == [2, 3]


def test_five_hundred_steps_and_a_step_of_twenty_thousand_characters_land(sums, tmp_path):
    import_path(sums, write(tmp_path, ROW | {"steps": [f"s{n}" for n in range(500)]}, ROW | {"steps": ["x" * 20_000]}))
    assert sorted(len(c.steps) for c in Completion.objects.all()) == [1, 500]


def test_solutions_are_added_to_a_problem(sums, tmp_path):
    import_path(sums, write(tmp_path, {"problem": "2 + 2?", "answer": "4", "category": "sums"}))
    problem = sums.prompts.get()
    first, second = add_solutions(problem, [("a\n\nb", None, "m", {"seed": 1}), ("c", ["c"], "m", None)])
    assert first.pk == problem.pk != second.pk
    assert first.completions.get().steps == ["a", "b"] and first.completions.get().metadata == {"seed": 1}
    assert (second.reference, second.criterion.name, second.problem) == ("4", "sums", first.problem)
    again = add_solutions(problem, [("c", ["c"], "m", None), ("d", ["d"], "m", None), ("c", ["c"], "m", None)])
    assert again[0].pk == second.pk == again[2].pk and again[1].pk not in (first.pk, second.pk)
    assert sums.prompts.count() == 3
    with pytest.raises(BadRow, match="solution 1 is empty"):
        add_solutions(problem, [(" ", None, "m", None)])
    counters_agree(sums)
