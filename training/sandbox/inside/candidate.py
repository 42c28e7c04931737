"""The candidate's side: run its program, then call what outside asks for and report plain values."""

import builtins
import types

from . import limits
from .values import decoded, encoded
from .wire import Wire

OBJECTS = 10_000  # that the tests may hold at once
ACTS = {
    "call": lambda thing, args, kwargs: thing(*args, **kwargs),
    "get": lambda thing, args, kwargs: getattr(thing, args[0]),
    "len": lambda thing, args, kwargs: len(thing),
    "iter": lambda thing, args, kwargs: iter(thing),
    "next": lambda thing, args, kwargs: next(thing),
    "item": lambda thing, args, kwargs: thing[args[0]],
    "in": lambda thing, args, kwargs: bool(args[0] in thing),
    "str": lambda thing, args, kwargs: str(thing),
}


class Held(dict):
    """Objects that stay inside and are spoken of by number."""

    def keep(self, thing) -> dict:
        if len(self) >= OBJECTS:
            raise MemoryError("too many objects")
        self[len(self) + 1] = thing
        return {"o": len(self)}


def main() -> None:
    wire = Wire()
    job = wire.read()
    limits.apply(job["limits"])
    wire.write({"hello": True})
    module = types.ModuleType("candidate")
    wire.write(attempt(lambda: exec(compile(job["source"], "candidate.py", "exec"), module.__dict__)))
    held = Held()
    while True:
        asked = wire.read()
        wire.write(attempt(lambda asked=asked: encoded(act(asked, module, held), held.keep)))


def act(asked: dict, module: types.ModuleType, held: Held):
    thing = getattr(module, asked["of"]) if isinstance(asked["of"], str) else held[asked["of"]]
    args = [decoded(form, held.__getitem__) for form in asked["args"]]
    kwargs = {name: decoded(form, held.__getitem__) for name, form in asked["kwargs"].items()}
    return ACTS[asked["do"]](thing, args, kwargs)


def attempt(work) -> dict:
    """What came of it, or which exception did."""
    try:
        return {"value": work()}
    except BaseException as error:
        known = next((k.__name__ for k in type(error).__mro__ if getattr(builtins, k.__name__, None) is k), "Exception")
        return {"error": [known, f"{type(error).__name__}: {error}"[:500]]}
