"""Which part of a completion is the answer: what the tags say, else what comes after the thinking."""

from training.fences import between, blocks


def answer_in(completion: str) -> str:
    """The last answer in tags, else all that follows the last thought, else the whole.

    >>> answer_in("<think>2 or 3?</think> <answer>3</answer>"), answer_in("<think>hm</think> It is 3."), answer_in("3")
    ('3', 'It is 3.', '3')
    """
    if (tagged := between(completion, "answer")) is not None:
        return tagged.strip()
    return (
        completion[completion.lower().rfind("</think>") + 8 :].strip()
        if "</think>" in completion.lower()
        else completion.strip()
    )


def json_in(completion: str) -> str:
    """The JSON text of an answer: its last fenced block, else the whole answer."""
    answer = answer_in(completion)
    found = [body for language, body in blocks(answer) if language in ("", "json")]
    return (found[-1] if found else answer).strip()
