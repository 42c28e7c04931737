"""Read a row's `tests` as what they are: calls with their values, inputs with their outputs, or code with asserts."""

import ast
import json
import re
from typing import Any, NamedTuple

from training.fences import blocks
from training.sandbox.asserting import runnable
from training.sandbox.inside.values import NotPlain, encoded

PYTHON = ("", "python", "py", "python3")
FORMS = (
    'asserts as text; or a list of {"call": "f(1, 2)", "returns": "3"}, of {"args": [1, 2], "expected": 3} '
    'with an entry_point, or of {"stdin": "1 2", "stdout": "3"}'
)


class BadTests(ValueError):
    """These tests cannot judge anything; the text says what they should be."""


class Call(NamedTuple):
    """One call of a function, and the JSON form of what it must return."""

    function: str
    args: list[Any]
    kwargs: dict[str, Any]
    expected: Any
    text: str


class Run(NamedTuple):
    """One run of the whole program."""

    stdin: str
    stdout: str


def cases_of(tests: Any, entry_point: str = "") -> list[Call] | list[Run] | str:
    """Calls, runs, or the text of assert-style tests. BadTests where there is nothing to judge by."""
    if isinstance(tests, str):
        tests = unpacked(tests)
        if isinstance(tests, str):
            return asserts(tests)
    if isinstance(tests, dict) and {"inputs", "outputs"} <= tests.keys():
        return paired(tests, entry_point)
    if not isinstance(tests, list) or not tests:
        raise BadTests(f"tests should be {FORMS}")
    if all(isinstance(test, str) for test in tests):
        return asserts("\n".join(tests))
    found = [case(test, number, entry_point) for number, test in enumerate(tests, 1)]
    if len({type(each) for each in found}) > 1:
        raise BadTests("tests mix calls and whole runs; keep to one of them")
    if all(isinstance(each, Run) and not each.stdout.strip() for each in found):
        raise BadTests("no test expects any output, so a program that does nothing would pass")
    return found


def unpacked(text: str) -> Any:
    """A column of a table often holds its list as JSON text."""
    try:
        return json.loads(text) if text.lstrip().startswith(("[", "{")) else text
    except ValueError:
        return text


def asserts(text: str) -> str:
    if not text.strip():
        raise BadTests("there are no tests")
    try:
        ast.parse(text)
    except (SyntaxError, ValueError) as error:
        raise BadTests(f"tests are no Python: {error}") from None
    return text


def paired(tests: dict, entry_point: str) -> list[Call] | list[Run]:
    """APPS and TACO: lists of inputs and outputs, of a function where one is named, else of the whole program."""
    pairs = list(zip(tests["inputs"], tests["outputs"], strict=False))
    if not pairs or len(tests["inputs"]) != len(tests["outputs"]):
        raise BadTests("inputs and outputs should be lists of one length")
    if function := tests.get("fn_name") or entry_point:
        return cases_of([{"args": args, "expected": expected} for args, expected in pairs], function)
    return cases_of([{"stdin": printed(stdin), "stdout": printed(stdout)} for stdin, stdout in pairs])


def printed(value: Any) -> str:
    return "\n".join(map(str, value)) if isinstance(value, list) else str(value)


def case(test: Any, number: int, entry_point: str) -> Call | Run:
    try:
        if {"stdin", "stdout"} <= test.keys():
            return Run(str(test["stdin"]), str(test["stdout"]))
        if {"call", "returns"} <= test.keys():
            return written(test["call"], test["returns"])
        args, kwargs, expected = list(test["args"]), dict(test.get("kwargs") or {}), test["expected"]
    except (KeyError, AttributeError, TypeError):
        raise BadTests(f"test {number} should be one of: {FORMS}") from None
    except (SyntaxError, ValueError, NotPlain) as error:
        raise BadTests(f"test {number} cannot be read: {error}") from None
    if not (function := test.get("function") or entry_point):
        raise BadTests(f"test {number} has args, but no entry_point says which function takes them")
    forms = {name: encoded(value) for name, value in kwargs.items()}
    return Call(function, [encoded(value) for value in args], forms, encoded(expected), shown(function, args, kwargs))


def written(call: str, returns: str) -> Call:
    """A call and its value as Python writes them, so that tuples and sets can be told from lists."""
    node = ast.parse(call.strip(), mode="eval").body
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        raise ValueError(f"{call!r} is no call of a function")
    args = [ast.literal_eval(arg) for arg in node.args]
    kwargs = {word.arg: ast.literal_eval(word.value) for word in node.keywords if word.arg}
    expected = encoded(ast.literal_eval(returns.strip()))
    forms = {name: encoded(value) for name, value in kwargs.items()}
    return Call(node.func.id, [encoded(arg) for arg in args], forms, expected, call.strip()[:200])


def shown(function: str, args: list, kwargs: dict) -> str:
    words = [repr(arg) for arg in args] + [f"{name}={value!r}" for name, value in kwargs.items()]
    return f"{function}({', '.join(words)})"[:200]


def program_in(completion: str) -> str:
    """The program of an answer: its last fenced block of Python, else the whole text.

    >>> program_in("Sure:\\n```python\\nx = 1\\n```\\nDone.")
    'x = 1\\n'
    """
    found = [body for language, body in blocks(completion) if language in PYTHON]
    return found[-1] if found else completion


def source_of(completion: str, setup: str = "", entry_point: str = "") -> str:
    """The program to judge: what stands in `setup` (imports, helpers), then the answer. One that does not define the
    function itself goes on where `setup` ends."""
    program = program_in(completion)
    if entry_point and defines(program, entry_point):
        return f"{runnable(setup)}\n{program}"
    return setup + program


def defines(program: str, name: str) -> bool:
    """Whether a line at the margin defines this name. It is not parsed: what a model wrote can crash a parser."""
    return bool(re.search(rf"^(?:(?:async\s+)?def|class)\s+{re.escape(name)}\b|^{re.escape(name)}\s*=", program, re.M))
