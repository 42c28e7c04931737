"""Every format of labeled traces is recognised and read; written and read again it says the same."""

import json

import pytest

from annotation.importing.cells import BadRow
from annotation.importing.columns import check, guess
from annotation.importing.items import Said
from annotation.importing.shapes import items
from annotation.steps import mathshepherd, prm800k
from annotation.steps.recognising import foreign
from tests.annotation.traces import sample, shared


def read(row, **mapping):
    mapping = guess([row], mapping, kind="steps") | mapping
    assert not check(mapping, row, "steps")
    return list(items(row, mapping))


def one(row, **mapping):
    [item] = read(row, **mapping)
    return item


def labels(item):
    return [said.ratings for said in item.trace.said]


# ---- shapes ----


def test_a_solution_in_steps_comes_with_the_index_of_its_first_mistake():
    row = {"input": "2 + 2 * 2?", "steps": ["2 + 2 = 4", "4 * 2 = 8", "So 8."], "target": "6", "answer": "8"}
    item = one(row | {"mistake_index": 0})
    assert item.trace.steps == row["steps"] and labels(item) == [[-1]] and item.reference == "6"
    assert item.completions[0].text == "2 + 2 = 4\n\n4 * 2 = 8\n\nSo 8."
    assert labels(one(row | {"mistake_index": None})) == [[1, 1, 1]]
    assert one(row).trace.said == []


def test_labels_are_shares_or_ratings_by_what_the_first_rows_show():
    row = {"problem": "2 + 2?", "steps": ["a", "b", "c"]}
    assert labels(one(row | {"labels": [1, 0, None]})) == [[1, -1, None]]
    assert labels(one(row | {"labels": [1, 0, -1]})) == [[1, 0, -1]]
    assert labels(one(row | {"ratings": [1, 0]})) == [[1, 0]]
    soft = one(row | {"labels": [True, 0.25]}).trace.said[0]
    assert (soft.ratings, soft.scores) == ([1, -1], [1.0, 0.25])
    assert labels(one({"problem": "2?", "steps": ["a", "b"], "label": -1, "final_answer_correct": True})) == [[1, 1]]


def test_stepwise_and_outcome_rows():
    stepwise = one({"prompt": "2 + 2?", "completions": ["a", "b"], "labels": [True, False]})
    assert stepwise.trace.steps == ["a", "b"] and labels(stepwise) == [[1, -1]]
    outcome = one({"prompt": "2 + 2?", "completions": ["a", "b"], "label": False})
    assert outcome.completions[0].metadata == {"correct": False} and outcome.trace.said == []


def test_whole_solutions_are_cut_by_the_rule():
    row = {"prompt": "2 + 2?", "completions": ["One.\nTwo.\n\nThree.", "Four."], "model": "m"}
    first, second = read(row)
    assert first.trace.steps == ["One.\nTwo.", "Three."] and second.trace.steps == ["Four."]
    assert first.completions[0].text == row["completions"][0] and first.completions[0].source == "m"
    assert [len(item.trace.steps) for item in read(row, rule="line")] == [3, 1]


def test_problems_alone_bring_their_reference():
    [item] = read({"question": "6 * 7?", "answer": "6 * 7 = <<6*7=42>>42\n#### 42"})
    assert item.reference == "42" and item.trace is None
    worked = one(
        {"question": "6 * 7?", "answer": "6 * 7 = 42\n#### 42"}, shape="solutions", solution="answer", rule="line"
    )
    assert worked.trace.steps == ["6 * 7 = 42\n#### 42"] and worked.reference == "42"
    math = {"problem": "p?", "solution": "Long.", "answer": "\\frac12", "level": "Level 2", "unique_id": "a/b"}
    assert one(math).reference == "\\frac12" and one(math).trace is None


def test_a_separator_inside_a_step_does_not_cut_it():
    item = one({"problem": "p?", "steps": ["a\n\nb", "c"], "mistake_index": 1})
    assert item.trace.steps == ["a\n\nb", "c"] and labels(item) == [[1, -1]]


def test_very_long_traces_and_steps_are_read_whole():
    many = one({"problem": "p?", "steps": [f"step {n}" for n in range(500)], "mistake_index": 499})
    assert len(many.trace.steps) == 500 == len(labels(many)[0])
    assert one({"problem": "p?", "steps": ["x" * 20_000]}).trace.steps == ["x" * 20_000]


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({"problem": "p?", "steps": []}, "there are no steps"),
        ({"problem": "p?", "steps": ["a", " "]}, "step 2 is empty"),
        ({"problem": "p?", "steps": ["a", None]}, "step 2 is missing"),
        ({"problem": "p?", "steps": ["a"] * 1001}, "1,001 steps; the most is 1,000"),
        ({"problem": "p?", "steps": ["a" * 600_000] * 2}, "1,200,000 characters together"),
        ({"problem": "p?", "steps": ["a"], "labels": [1, 1]}, "2 labels for 1 step"),
        (
            {"problem": "p?", "steps": ["a", "b"], "labels": [-1, 2]},
            "label of step 2 is 2; a rating is −1, 0, 1 or null",
        ),
        (
            {"problem": "p?", "steps": ["a"], "labels": [1.5]},
            "label of step 1 is 1.5; it should be true, false or from 0",
        ),
        ({"problem": "p?", "steps": ["a"], "mistake_index": 1}, "index 1, after the last of 1 steps"),
        ({"problem": "p?", "steps": ["a"], "mistake_index": "x"}, "first mistake is 'x'"),
        ({"problem": "", "steps": ["a"]}, "prompt is empty"),
        ({"input": "p? Step 1: a ки", "label": "p? Step 1: b +"}, "differ before the mark of step 1"),
        ({"input": "p? Step 1: a ки", "label": "p? Step 1: a ?"}, "neither"),
        ({"input": "p? a ки", "label": "p? a +"}, "no problem before"),
        ({"question": "p?", "reasoning_steps": []}, "reasoning_steps is a list"),
        ({"question": "p?", "reasoning_steps": {"text": "p?", "mc_value": 2}}, "mc_value of the root is 2"),
        ({"question": {"problem": "p?"}, "label": {"steps": [{"completions": [{"text": "a", "rating": 5}]}]}}, "is 5"),
        (
            {"question": {"problem": "p?"}, "label": {"steps": [{"completions": [], "chosen_completion": 3}]}},
            "chose completion 3; it has 0",
        ),
    ],
)
def test_a_bad_row_says_which_step_and_why(row, why):
    with pytest.raises(BadRow) as error:
        read(row)
    assert why in str(error.value)


def test_a_minus_one_among_shares_says_what_to_choose():
    row = {"problem": "p?", "steps": ["a"], "labels": [-1]}
    with pytest.raises(BadRow, match="choose ratings where labels are"):
        read(row, scale="shares")


def test_rows_for_the_other_kind_of_project_are_known():
    assert "project of kind steps" in foreign([{"prompt": "p?", "steps": ["a"]}], "ranking")
    assert "project of kind steps" in foreign([{"prompt": "p?", "completions": ["a"], "labels": [True]}], "ranking")
    assert foreign([{"prompt": "p?", "completions": ["a", "b"], "labels": [1, 2]}], "ranking") == ""
    assert "preference pairs" in foreign([{"prompt": "p?", "chosen": "a", "rejected": "b"}], "steps")
    assert "ranked completions" in foreign([{"prompt": "p?", "completions": ["a", "b"], "rankings": [[1, 2]]}], "steps")
    assert foreign([{"prompt": "p?", "completions": ["a", "b"]}], "steps") == ""
    assert "this one is of kind ranking" in check({"shape": "prm800k"}, [], "ranking")


# ---- the public samples, and there and back ----


@shared
@pytest.mark.parametrize(
    ("name", "shape", "prompts", "labeled"),
    [
        ("prm-formats/samples_prm800k.jsonl", "prm800k", 6, 6),
        ("prm-formats/samples_math-shepherd.jsonl", "math_shepherd", 7, 7),
        ("bigbench-mistake/multistep_arithmetic.jsonl", "traces", 300, 300),
        ("bigbench-mistake/tracking_shuffled_objects.jsonl", "traces", 300, 300),
        ("gsm8k/train.jsonl", "problems", 2000, 0),
        ("math500/test500.jsonl", "problems", 500, 0),
    ],
)
def test_public_files_are_recognised(name, shape, prompts, labeled):
    rows = sample(name)
    mapping = guess(rows[:50], kind="steps")
    assert mapping["shape"] == shape
    found = [item for row in rows for item in items(row, mapping)]
    assert len(found) == prompts and sum(bool(item.trace and item.trace.said) for item in found) == labeled
    assert all(item.reference for item in found) or shape in ("prm800k", "math_shepherd")


@shared
def test_prm800k_keeps_the_path_its_ratings_and_the_other_completions():
    first, second, _, fourth, gave_up, whole = [one(row) for row in sample("prm-formats/samples_prm800k.jsonl")]
    assert labels(first) == [[1, None, 1, 1, 1, 1]] and first.reference == "29"
    said = first.trace.said[0]
    assert said.rewrites["1"]["text"] == first.trace.steps[1] and said.source == ":e90a38f3-3135-4465-87af-3e6322e3d772"
    assert [other["rating"] for other in said.alternatives["1"]] == [-1] * 5 and said.seconds == 293.25
    assert len(second.trace.steps) == 13 and labels(second) == [[1, 0, 1, 1, 1, 1, -1]]
    assert labels(fourth) == [[1, 1, 1, 1, 1, 1, 1]]
    assert gave_up.trace.said[0].gave_up == "other" and len(gave_up.trace.steps) == 8
    assert len(whole.trace.steps) == 12 and whole.reference == "" and whole.trace.alternatives == []


@shared
def test_prm800k_written_and_read_again_says_the_same():
    for row in sample("prm-formats/samples_prm800k.jsonl"):
        item = one(row)
        [said] = item.trace.said
        written = prm800k.write(
            item.messages[0]["content"], item.trace.steps, said, item.reference, said.source.removeprefix(":")
        )
        again = one(json.loads(json.dumps(written)))
        assert again.trace == item.trace and again.reference == item.reference
        assert written["label"]["finish_reason"] == row["label"]["finish_reason"]


@shared
def test_math_shepherd_written_and_read_again_is_the_same_row():
    for row in sample("prm-formats/samples_math-shepherd.jsonl"):
        item = one(row)
        [said] = item.trace.said
        assert len(said.ratings) == len(item.trace.steps) > 1
        assert mathshepherd.write(item.messages[0]["content"], item.trace.steps, said, row["task"]) == row


def test_math_shepherd_refuses_what_it_cannot_hold():
    for steps, said, why in (
        (["a", "b"], Said([1]), "every step"),
        (["a"], Said([0]), "every step"),
        (["a ки\nb"], Said([1]), "holds the mark"),
    ):
        with pytest.raises(BadRow, match=why):
            mathshepherd.write("p?", steps, said)
    russian = one(mathshepherd.write("Чьи руки?", ["Эти руки", "Те руки"], Said([1, -1])))
    assert russian.trace.steps == ["Step 1: Эти руки", "Step 2: Те руки"] and labels(russian) == [[1, -1]]


@shared
def test_a_tree_of_values_gives_a_trace_for_every_leaf():
    tree = sample("prm-formats/samples_math-aps-tree.jsonl")[1]
    found = read(tree)
    assert len(found) == 85 and len({tuple(item.trace.steps) for item in found}) == 82
    deepest = max(found, key=lambda item: len(item.trace.steps))
    assert [len(deepest.trace.steps), deepest.trace.said[0].scores[0]] == [3, 0.9375]
    assert found[12].trace.said[0].scores == [0.0] and labels(found[12]) == [[-1]]
    assert found[0].metadata["mc_value"] == 0.75 and found[0].reference == "64"


@shared
def test_rows_of_prefixes_give_the_traces_of_the_same_tree():
    prefixes, tree = (sample(f"prm-formats/samples_math-aps{kind}.jsonl") for kind in ("", "-tree"))
    ways = {tuple(item.trace.steps) for item in read(prefixes[0])}
    assert len(ways & {tuple(item.trace.steps) for item in read(tree[1])}) >= 76 and len(ways) == 81
