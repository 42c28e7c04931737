"""Which part of a completion is the answer: what the tags say, else what comes after the thinking."""

import re

ANSWER = re.compile(r"<answer>(.*?)</answer>", re.S | re.I)
THOUGHT = re.compile(r"^.*</think>", re.S | re.I)
FENCED = re.compile(r"^[ \t]*```[ \t]*(?:json)?[ \t]*\n(.*?)^[ \t]*```", re.M | re.S | re.I)


def answer_in(completion: str) -> str:
    """The last answer in tags, else all that follows the last thought, else the whole.

    >>> answer_in("<think>2 or 3?</think> <answer>3</answer>"), answer_in("<think>hm</think> It is 3."), answer_in("3")
    ('3', 'It is 3.', '3')
    """
    if found := ANSWER.findall(completion):
        return found[-1].strip()
    return THOUGHT.sub("", completion).strip()


def json_in(completion: str) -> str:
    """The JSON text of an answer: its last fenced block, else the whole answer."""
    answer = answer_in(completion)
    blocks = FENCED.findall(answer)
    return (blocks[-1] if blocks else answer).strip()
