"""Match patterns and schemas in a child process: a pattern that never ends must not take the trainer with it."""

import atexit
import json
import sys

DEADLINE = 5.0  # seconds for one completion


class Checker:
    """Says what is wrong with a text, "" for nothing."""

    def __init__(self):
        self.child = None

    def regex(self, pattern: str, text: str, whole: bool = False, ignore_case: bool = False) -> str:
        return self.ask({"pattern": pattern, "text": text, "whole": whole, "ignore_case": ignore_case})

    def schema(self, schema: str, text: str) -> str:
        return self.ask({"schema": schema, "text": text})

    def ask(self, question: dict) -> str:
        from training.math_checking import Child

        self.child = self.child or Child(__file__, DEADLINE)
        answer = self.child.answer(question)
        return json.loads(answer) if answer else f"It was not decided within {DEADLINE:g} s, and counts as no match."

    def end(self) -> None:
        if self.child:
            self.child.end()


CHECKER = Checker()
atexit.register(CHECKER.end)


def no_match(said: dict) -> str:
    import re

    flags = re.IGNORECASE if said["ignore_case"] else 0
    find = re.fullmatch if said["whole"] else re.search
    return "" if find(said["pattern"], said["text"], flags | re.DOTALL) else "The pattern does not match."


def no_fit(said: dict) -> str:
    import jsonschema
    from referencing import Registry

    try:
        value = json.loads(said["text"])
    except (ValueError, RecursionError) as error:
        return f"It is no JSON: {error}."
    schema = json.loads(said["schema"])
    kind = jsonschema.validators.validator_for(schema)
    wrong = next(iter(kind(schema, registry=Registry()).iter_errors(value)), None)  # fetches nothing by address
    return f"At {wrong.json_path}: {wrong.message}"[:300] if wrong else ""


def serve() -> None:
    """The child: a question a line in, what is wrong a line out."""
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
    print("ready", flush=True)
    for line in sys.stdin:
        said = json.loads(line)
        try:
            answer = no_match(said) if "pattern" in said else no_fit(said)
        except Exception as error:
            answer = f"It cannot be checked: {error}"[:300]
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    serve()
