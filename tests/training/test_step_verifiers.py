"""The arithmetic of a step is recomputed: right, wrong with the reason, or silence where it cannot be sure."""

import time

import pytest

from tests.shared_data import shared_rows
from training.step_verifiers import arithmetic, judge

RIGHT = [
    "12/2 = 6",
    "Natalia sold 48/2 = <<48/2=24>>24 clips in May.",
    "She earned 0.2 x 50 = $<<0.2*50=10>>10.",
    "A = (-9 - 5 - 0) = (-9 - 5) = -14.",
    r"Then $\frac{1}{2} \times 10 = 5$.",
    r"\[ 2^{3} \cdot 3 = 8 \cdot 3 = 24 \]",
    "So 20% * 50 = 10 dollars",
    "100% - 20% = 80%",
    "1,250 + 750 = 2,000",
    "10/3 = 3.33",
    "2/3 = 0.66 or so",
    "22/7 ≈ 3.14",
    "3 times 4 is 12.",
    "12 divided by 3 equals 4",
    "(which is 3 + 4 = 7)",
    "3 1/2 * 2 = 7",
    r"1\frac{1}{4} = \frac{5}{4}",
    "2. 5 - 8 = -3",
    "2**3 = 8",
    "(2)(3) = 6 and 2(3 + 1) = 8",
    "−3 − 4 = −7",
    "90 / 60 = 1.5 hours",
    r"\begin{align*} 3 + 4 &= 7 \\ &= 14 / 2 \end{align*}",
]
WRONG = [
    ("12/5 = 6", "12/5 = 2.4, not 6"),
    ("So 12/2 = <<12/2=5>>5.", "12/2 = 6, not 5"),
    ("B = (4 + 3 + -5) = (4 + 3 - 5) = 3.", "(4 + 3 - 5) = 2, not 3"),
    (r"Hence $\frac{12}{5} = 6$.", r"\frac{12}{5} = 2.4, not 6"),
    ("1,000 * 3 = 30,000", "1,000 * 3 = 3000, not 30,000"),
    ("20% * 50 = 12", "20% * 50 = 10, not 12"),
    ("10/3 = 3.43", "10/3 = 3.33333, not 3.43"),
    ("3 times 4 is 13.", "3 * 4 = 12, not 13"),
    ("7 - -4 * 7 = 7 - 28", "7 - -4 * 7 = 35, not 7 - 28"),
    ("3 + 4 - 2 = 5 - 2 = 3", "3 + 4 - 2 = 5, not 5 - 2"),
    ("He has 5 - 3 = 1 apple", "5 - 3 = 2, not 1"),
]
SILENT = [
    "x + 5 = 7",
    "2x = 6, so x = 3",
    "3x + 4 = 10",
    "5 apples + 3 pears = 9 fruits",
    "A - B where A = 5",
    "half of 20 + 4 = 14",
    "the square root of 16 = 4",
    r"\sqrt{16} = 4",
    "17/5 = 3 remainder 2",
    "4 * 15 = 1 hour",
    "3 * 50 = $1.50",
    "7 / 2 = 3 whole boxes",
    "0.33 * 300 = 100",
    "5! = 120",
    "f(3) = 9",
    "Suppose 3 + 4 = 8.",
    "3 + 4 = 8 is false",
    "Is 3 + 4 = 8?",
    "Step 3 = 5",
    "9**9**9 = 1",
    "1/0 = 5",
    "8 mod 3 = 2",
    "5 + 3 = 8 * 2 = 16",
    "0900 - 0130 = 0730",
    "3 + 4 ≠ 8",
    "4/7 is equal to $24",
    "12 = 3 million",
    "|3 - 5| = 2",
    "50% of 20 = 10",
    "3:4 = 6:8",
    "5 + = 7",
    "",
    "The sky is blue.",
]


@pytest.mark.parametrize("step", RIGHT)
def test_what_holds_is_right(step):
    assert judge(step).rating == 1


@pytest.mark.parametrize(("step", "note"), WRONG)
def test_what_does_not_hold_is_wrong_and_says_why(step, note):
    assert (judge(step).rating, judge(step).note) == (-1, note)


@pytest.mark.parametrize("step", SILENT)
def test_it_is_silent_where_it_cannot_be_sure(step):
    assert judge(step).rating is None


@pytest.mark.parametrize(
    "step",
    [
        "9" * 20_000 + " = 1",
        "(" * 10_000 + "1" + ")" * 10_000 + " = 2",
        "-" * 20_000 + "1 = 1",
        "9^64^64 = " * 1_000,
        "1+" * 9_000 + "1 = 9001",
        "2^64 * " * 200 + "1 = 1",
        "= " * 10_000,
        "<<" * 10_000,
        " \n" * 10_000,
        "\\\\" * 10_000,
    ],
)
def test_a_hostile_step_costs_little_and_gets_no_rating(step):
    begun = time.monotonic()
    assert judge(step).rating is None
    assert time.monotonic() - begun < 2


def test_the_first_mistake_of_multistep_arithmetic_is_found():
    rows = shared_rows("bigbench-mistake/multistep_arithmetic.jsonl")
    found = [next((i for i, j in enumerate(arithmetic(row["steps"])) if j.rating == -1), None) for row in rows]
    said = [(row["mistake_index"], first) for row, first in zip(rows, found, strict=True)]
    right = sum(true == first is not None for true, first in said)
    assert right / sum(true is not None for true, _ in said) > 0.93
    # People let 14 of these traces pass though an equation in them does not hold.
    assert right / sum(first is not None for _, first in said) > 0.91


def test_worked_answers_of_gsm8k_raise_no_alarm_but_where_they_are_wrong():
    alarms = ratings = 0
    for row in (*shared_rows("gsm8k/train.jsonl"), *shared_rows("gsm8k/test.jsonl")):
        said = [judged.rating for judged in arithmetic(row["answer"].splitlines()[:-1])]
        alarms, ratings = alarms + said.count(-1), ratings + said.count(1)
    assert alarms <= 3  # 6*2.5 is not 18, 6/3 is not .5, 4080/2 is not 2000
    assert ratings > 7_800
