"""Which part of a completion is the answer: what the tags say, else what comes after the thinking."""

from training.fences import between, blocks


def answer_in(completion: str) -> str:
    """The last answer in tags, else all that follows the last thought, else the whole.

    >>> answer_in("<think>2 or 3?</think> <answer>3</answer>"), answer_in("<think>hm</think> It is 3."), answer_in("3")
    ('3', 'It is 3.', '3')
    """
    return as_written(completion).strip()


def as_written(completion: str) -> str:
    """The same with the blanks around it: a program may begin with some."""
    tagged = between(completion, "answer")
    if tagged is not None:
        return tagged
    thought = completion.lower().rfind("</think>")
    return completion[thought + len("</think>") :] if thought >= 0 else completion


def json_in(completion: str) -> str:
    """The JSON text of an answer: its last fenced block, else the whole answer."""
    answer = answer_in(completion)
    found = [body for language, body in blocks(answer) if language in ("", "json")]
    return (found[-1] if found else answer).strip()
