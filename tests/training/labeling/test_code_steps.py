"""Steps with code are run against the tests their metadata gives, in a real sandbox or not at all."""

import pytest

from annotation.models import Completion, StepLabels
from training.sandbox import runtime, why_not

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(bool(why_not()), reason=f"no sandbox here: {why_not()}"),
]

HALF = "A helper first.\n```python\ndef half(x):\n    return x // 2\n```"
AREA = "Now the area.\n```python\ndef area(a, b):\n    return half(a * b)\n```"
WORDS = "So the area of a triangle is half of base times height."
STEPS = [HALF, WORDS, AREA]
CALLS = [{"call": "area(4, 3)", "returns": "6"}]


@pytest.fixture
def rated(make_trace, label):
    """What the tests say of one trace: its labels, or None, and the run."""

    def rated(metadata, steps=STEPS, own=None):
        prompt = make_trace(f"Area? {len(steps)}", steps, metadata=metadata)
        Completion.objects.filter(prompt=prompt).update(metadata=own or {})
        run = label("verifier", given={"verifier": "tests"}, again="replace")
        return StepLabels.objects.filter(prompt=prompt, source="tests").first(), run

    return rated


def test_each_step_is_run_after_those_before_it(rated):
    said, run = rated({"step_tests": {"1": "assert half(6) == 3", "3": CALLS}})
    assert said.ratings == [1, None, 1] and (said.kind, said.notes) == ("verifier", {})
    assert (run.report["good"], run.report["bad"]) == (2, 0)


def test_a_step_whose_test_fails_is_bad_and_says_why(rated):
    said, _ = rated({"step_tests": ["assert half(6) == 3", None, [{"call": "area(4, 3)", "returns": "12"}]]})
    assert said.ratings == [1, None, -1]
    assert said.notes == {"2": "area(4, 3) returned another value than expected."}


def test_tests_of_the_whole_solution_judge_its_last_step_with_code(rated):
    whole = {"tests": [{"args": [4, 3], "expected": 6}], "entry_point": "area"}
    assert rated(whole, [*STEPS, "Done."])[0].ratings == [None, None, 1, None]
    assert rated(whole, [HALF.replace("//", "+"), AREA])[0].ratings == [None, -1]


def test_the_tests_of_a_trace_go_before_those_of_its_problem(rated):
    said, _ = rated({"step_tests": {"3": CALLS}}, own={"step_tests": {"1": "assert half(6) == 4"}})
    assert said.ratings == [-1, None, None]


def test_a_step_that_writes_the_whole_program_again_is_not_run_after_its_first_try(rated):
    first, again = ("```python\nprint(int(input()) * 2)\n```", "```python\nn = int(input())\nprint(n * 3)\n```")
    said, _ = rated({"tests": [{"stdin": "2", "stdout": "6"}]}, [first, again])
    assert said.ratings == [None, 1]


def test_what_a_program_prints_is_no_code(rated):
    said, _ = rated({"step_tests": {"1": "assert half(6) == 3"}}, [HALF + "\nIt prints:\n```\nno Python\n```", "So 3."])
    assert said.ratings == [1, None]


@pytest.mark.parametrize(
    ("metadata", "steps", "why"),
    [
        ({}, STEPS, "no step holds code that tests are given for"),
        ({"tests": CALLS}, [WORDS], "no step holds code that tests are given for"),
        ({"step_tests": {"2": CALLS}}, STEPS, "no step holds code that tests are given for"),
        ({"step_tests": {"9": CALLS}}, STEPS, "no step holds code that tests are given for"),
        ({"step_tests": {"last": CALLS}}, STEPS, "step_tests should be"),
        ({"step_tests": 3}, STEPS, "step_tests should be"),
        ({"tests": [{"call": "area(", "returns": "6"}]}, STEPS, "test 1 cannot be read"),
        ({"tests": "import numpy\nassert area(4, 3) == numpy.int64(6)"}, STEPS, "The tests do not fit"),
    ],
)
def test_without_tests_that_can_judge_nothing_is_said(rated, metadata, steps, why):
    said, run = rated(metadata, steps)
    assert said is None
    (reason,) = run.report["unsaid"]
    assert reason.startswith(why) and f"1 trace got no label: {reason}." in run.message


def test_tests_that_cannot_judge_leave_their_step_open_and_are_counted(rated):
    said, run = rated({"step_tests": {"1": "assert half(6) == 3", "3": "assert 1 == 1"}})
    assert said.ratings == [1, None, None]
    assert said.notes == {"2": "The tests never ask the program anything."}
    assert run.message == "Tests of 1 step could not judge; their notes say why."


def test_a_program_that_ends_before_its_tests_is_bad(rated):
    cheat = "```python\nimport os\nos._exit(0)\n```"
    assert rated({"tests": "assert area(4, 3) == 6"}, [cheat])[0].ratings == [-1]


def test_without_a_sandbox_nothing_is_run(make_trace, label, monkeypatch):
    make_trace("Area?", STEPS, metadata={"tests": CALLS})
    monkeypatch.setattr(runtime, "why_not", lambda: "It is forbidden here.")
    run = label("verifier", given={"verifier": "tests"}, ends="failed")
    assert run.message.startswith("It is forbidden here. Programs") and "Install one" in run.message
    assert not StepLabels.objects.exists()
