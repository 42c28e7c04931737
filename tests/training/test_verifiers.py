"""Verifiers say right of what is right, wrong of what is wrong, and nothing where they do not apply."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.shared_data import shared_rows
from training import math_checking
from training.verifiers import VERIFIERS, math

RIGHT = [
    ("48 + 24 = 72\n#### 72", "72"),
    ("The answer is 0.5.", r"\frac12"),
    (r"Thus $\boxed{\frac{1}{2}}$", "0.5"),
    (r"\boxed{Evelyn}", r"\text{Evelyn}"),
    ("So the answer is $1,000.", "1000"),
    ("The answer is 50%", "50"),
    ("It must be (B).", "(B)"),
    ("So the answer is (B) Ulysses.", "(B)"),
    (r"\boxed{2x + 2}", "2(x+1)"),
    ("we add and get 12", "12"),
    ("work\n#### 5", "long work\n#### 5"),
]
WRONG = [
    ("#### 71", "72"),
    (r"\boxed{3x}", "3"),
    ("The answer is (A), (B), (C), or (D).", "(A)"),
    ("It must be (C).", "(B)"),
    ("", "5"),
    ("I do not know", "x + 1"),
    ("The answer is 1/0", "3"),
    ("72 was my guess. The answer is 80.", "72"),
]


@pytest.mark.parametrize(("completion", "reference"), RIGHT)
def test_right_answers_are_right_however_they_are_written(completion, reference):
    assert math(completion, reference) is True


@pytest.mark.parametrize(("completion", "reference"), WRONG)
def test_wrong_answers_are_wrong(completion, reference):
    assert math(completion, reference) is False


@pytest.mark.parametrize("name", VERIFIERS)
def test_without_a_reference_no_verifier_applies(name):
    assert VERIFIERS[name]("#### 7", " ") is None


def test_last_number_needs_a_reference_with_a_number():
    assert VERIFIERS["last_number"]("so 7", "Evelyn") is None
    assert VERIFIERS["last_number"]("3 and then 7", "7") is True


def test_an_endless_comparison_is_ended_and_the_next_one_works(monkeypatch):
    monkeypatch.setattr(math_checking, "DEADLINE", 0.3)
    begun = time.monotonic()
    assert math(r"\boxed{9^{9^{9^{9}}}}", "10") is False
    assert time.monotonic() - begun < 5
    monkeypatch.undo()
    assert math(r"\boxed{\frac{x}{2}}", "0.5x") is True


def test_a_child_that_died_is_replaced():
    assert math(r"\boxed{\frac{x}{2}}", "0.5x") is True
    math_checking.CHILD.process.kill()
    math_checking.CHILD.process.wait()
    assert math(r"\boxed{\frac{x}{2}}", "0.5x") is True


def test_many_threads_may_ask_at_once():
    with ThreadPoolExecutor(8) as pool:
        said = list(pool.map(lambda n: math(rf"\boxed{{{n}x + {n}}}", f"{n}(x+1)"), range(2, 10)))
    assert said == [True] * 8


@pytest.mark.parametrize("file", ["gsm8k/train.jsonl", "gsm8k/test.jsonl"])
def test_every_worked_answer_of_gsm8k_reaches_its_reference_and_no_other(file):
    begun, rows = time.monotonic(), shared_rows(file)
    for row in rows:
        reference = row["answer"].rpartition("#### ")[2]
        other = str(int(reference.replace(",", "")) + 1)
        for verify in VERIFIERS.values():
            assert verify(row["answer"], reference) is True
            assert verify(row["answer"], other) is False
    assert len(rows) * 6 / (time.monotonic() - begun) > 1000, "plain numbers need no algebra"


def test_every_solution_of_math_500_reaches_its_answer():
    rows = shared_rows("math500/test500.jsonl")
    assert [row["answer"] for row in rows if math(row["solution"], row["answer"]) is not True] == []


@pytest.mark.parametrize("task", ["multistep_arithmetic", "logical_deduction", "tracking_shuffled_objects"])
def test_traces_of_bigbench_are_right_where_their_answer_is_the_target(task):
    for row in shared_rows(f"bigbench-mistake/{task}.jsonl"):
        assert math("\n".join(row["steps"]), row["target"]) is ((row["answer"] or "").strip() == row["target"])
