"""The tests' side: run assertions against a candidate that lives in another sandbox and answers in plain values."""

import builtins
import sys
import types

from . import limits
from .values import decoded, encoded
from .wire import Wire


class CandidateError(Exception):
    """The candidate raised an exception of its own making."""


class CandidateEnded(BaseException):
    """The candidate tried to end the program; no test may catch that by accident."""


class Remote:
    """Something of the candidate's: it can be called and asked, but never compared nor taken for true."""

    def __init__(self, of, ask):
        object.__setattr__(self, "_of", of)
        object.__setattr__(self, "_ask", ask)

    def __call__(self, *args, **kwargs):
        return self._ask("call", self._of, args, kwargs)

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return self._ask("get", self._of, (name,), {})

    def __len__(self):
        return plain(self._ask("len", self._of, (), {}), int)

    def __iter__(self):
        found = self._ask("iter", self._of, (), {})
        return found if isinstance(found, Remote) else iter(found)

    def __next__(self):
        return self._ask("next", self._of, (), {})

    def __getitem__(self, key):
        return self._ask("item", self._of, (key,), {})

    def __contains__(self, key):
        return plain(self._ask("in", self._of, (key,), {}), bool)

    def __str__(self):
        return plain(self._ask("str", self._of, (), {}), str)

    __repr__ = __str__

    def refuse(self, *_):
        raise TypeError("the candidate gave an object where tests compare plain values")

    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __bool__ = __hash__ = refuse


def plain(value, kind: type):
    if type(value) is not kind:
        raise TypeError(f"the candidate gave a {type(value).__name__} where {kind.__name__} is needed")
    return value


class Candidate:
    """Asks outside, which asks the candidate."""

    def __init__(self, wire: Wire):
        self.wire = wire

    def named(self, name: str) -> Remote:
        return Remote(name, self.ask)

    def ask(self, do: str, of, args: tuple, kwargs: dict):
        forms = [encoded(value, crossing) for value in args]
        named = {name: encoded(value, crossing) for name, value in kwargs.items()}
        self.wire.write({"do": do, "of": of, "args": forms, "kwargs": named})
        said = self.wire.read()
        if "error" in said:
            raise exception(*said["error"], ending=do == "next")
        return decoded(said["value"], lambda number: Remote(number, self.ask))


class Unfit(BaseException):
    """The tests cannot judge any program this way; that is no fault of the candidate's."""


def crossing(value) -> dict:
    if isinstance(value, Remote) and isinstance(value._of, int):
        return {"o": value._of}
    raise Unfit(f"the tests hand a {type(value).__name__} to the program; only plain values cross to it")


def exception(name: str, text: str, ending: bool = False) -> BaseException:
    """The candidate's exception as one of ours. Only an iterator may say that it has ended: a function that does
    would cut short whatever maps it over the inputs."""
    kind = getattr(builtins, name, None)
    if not isinstance(kind, type) or not issubclass(kind, Exception):
        return CandidateEnded(text)
    if kind is Exception or (kind in (StopIteration, StopAsyncIteration) and not ending):
        return CandidateError(text)
    if issubclass(kind, ImportError):  # the tests' own mean that they do not fit
        return CandidateError(text)
    try:
        return kind(text)
    except TypeError:  # it wants more than a text
        return CandidateError(text)


def main() -> None:
    wire = Wire()
    job = wire.read()
    limits.apply(job["limits"])
    wire.write({"hello": True})
    try:
        run(job, Candidate(wire))
    except Unfit as error:
        wire.write({"unfit": str(error)})
    except ImportError as error:
        wire.write({"unfit": f"they import {error.name}, and a sandbox has the standard library alone"})
    except BaseException as error:
        wire.write({"failed": told(error)})
    else:
        wire.write({"passed": job["nonce"]})


def run(job: dict, candidate: Candidate) -> None:
    """Setup, then the tests with the candidate's names in it, then whatever functions and classes hold more of them."""
    space = {"__name__": "tests"}
    prepare(job["setup"], space)
    space |= {name: candidate.named(name) for name in job["names"] if name not in space}
    if entry := job["entry_point"]:
        space["candidate"] = space[entry] = candidate.named(entry)
    solution = sys.modules["solution"] = types.ModuleType("solution")
    solution.__getattr__ = candidate.named
    exec(compile(job["tests"], "tests.py", "exec"), space)
    if callable(space.get("check")) and not job["checked"]:
        if not entry:
            raise Unfit("the tests define check(candidate), and no entry_point says which function that is")
        space["check"](space["candidate"])
    for value in list(space.values()):
        if isinstance(value, types.FunctionType) and value.__name__.startswith("test_"):
            value()
    if "unittest" in sys.modules:
        run_cases(list(space.values()))


def prepare(setup: str, space: dict) -> None:
    """Run the row's setup, which is no program of the candidate's."""
    try:
        exec(compile(setup, "setup.py", "exec"), space)
    except ImportError:
        raise
    except Exception as error:
        raise Unfit(f"their setup fails with {type(error).__name__}: {error}") from error


def run_cases(found: list) -> None:
    import unittest

    kinds = [kind for kind in found if isinstance(kind, type) and issubclass(kind, unittest.TestCase)]
    suite = unittest.TestSuite(map(unittest.defaultTestLoader.loadTestsFromTestCase, kinds))
    result = unittest.TestResult()
    suite.run(result)
    if not result.wasSuccessful():
        raise AssertionError((result.failures + result.errors)[0][1].strip().splitlines()[-1])


def told(error: BaseException) -> str:
    """The exception, and the line of the tests at which it came."""
    line, trace = 0, error.__traceback__
    while trace:
        if trace.tb_frame.f_code.co_filename == "tests.py":
            line = trace.tb_lineno
        trace = trace.tb_next
    text = f"{type(error).__name__}: {error}".rstrip(": ")
    return f"{text} (line {line} of the tests)" if line else text
