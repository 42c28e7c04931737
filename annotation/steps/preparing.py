"""Make a read trace ready to store: its fingerprints, and JSON as the database keeps it. No database."""

from json.encoder import encode_basestring as quoted
from typing import NamedTuple

from annotation.importing.cells import BadRow
from annotation.importing.items import Item, Said
from annotation.importing.prepare import Answer, json_of, last_user_text, messages_json, plain, sha256


class Solution(NamedTuple):
    answer: Answer
    mark: str  # the text's fingerprint
    steps: str
    said: list[Said]
    alternatives: list[tuple[int, str, str]]


class PreparedTrace(NamedTuple):
    """A problem with at most one solution; `problem` is the fingerprint that all solutions of one problem share."""

    line: int
    messages: str
    text: str
    reference: str
    criterion: str
    metadata: str
    fingerprint: str
    problem: str
    solution: Solution | None

    @property
    def size(self) -> int:
        """About how many characters it holds."""
        return len(self.messages) + (2 * len(self.solution.steps) if self.solution else 0)


def prepare_trace(line: int, item: Item) -> PreparedTrace:
    try:
        messages = messages_json(item.messages)
        problem = sha256(messages)
        solution = solution_of(item) if item.trace else None
        mark = trace_fingerprint(messages, solution.steps) if solution else problem
        fields = messages, last_user_text(item.messages), plain(item.reference), plain(item.criterion)
        return PreparedTrace(line, *fields, json_of(item.metadata), mark, problem, solution)
    except UnicodeEncodeError as error:
        raise BadRow("a text holds half a character (a lone surrogate), which no database can keep") from error


def solution_of(item: Item) -> Solution:
    text, source, metadata = item.completions[0]
    for _, other, _ in item.trace.alternatives:
        other.encode()
    steps = steps_json(item.trace.steps)
    for said in item.trace.said:
        json_of({"said": [said.errors, said.notes, said.rewrites, said.alternatives, said.comment]})  # or BadRow
    answer = Answer(text, plain(source), json_of(metadata))
    return Solution(answer, sha256(quoted(text)), steps, item.trace.said, item.trace.alternatives)


def steps_json(steps: list[str]) -> str:
    """
    >>> steps_json(["½ of 4", "2"])
    '["½ of 4", "2"]'
    """
    return f"[{', '.join(map(quoted, steps))}]"


def trace_fingerprint(messages: str, steps: str) -> str:
    """What models.fingerprint([messages, steps]) gives, of JSON that is made already."""
    return sha256(f"[{messages}, {steps}]")
