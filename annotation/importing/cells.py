"""Read one cell of a file as text, a chat or a completion; BadRow says why it cannot be. No database."""

import json
from typing import Any, NamedTuple

TEXT_LIMIT = 1_000_000  # characters of one message or completion
ROLES = {"human": "user", "prompter": "user", "gpt": "assistant", "chatgpt": "assistant", "bot": "assistant"}
ROLES |= {role: role for role in ("system", "developer", "user", "assistant", "tool")}


class BadRow(ValueError):
    """A row that cannot be read; its text says why, for the person whose file it is."""


class BadFile(ValueError):
    """A file that cannot be read (any further); its text says why and what to do."""


class Completion(NamedTuple):
    text: str
    source: str = ""
    metadata: dict | None = None


def as_text(value: Any, what: str) -> str:
    """A non-empty text of sane length that a database can hold; numbers become text."""
    if type(value) is not str and (isinstance(value, bool) or not isinstance(value, (str, int, float))):
        raise BadRow(f"{what} is {kind_of(value)}; it should be text")
    text = value if type(value) is str else str(value)
    if not text or text.isspace():
        raise BadRow(f"{what} is empty")
    if len(text) > TEXT_LIMIT:
        raise BadRow(f"{what} has {len(text):,} characters; the most is {TEXT_LIMIT:,}")
    if "\x00" in text:
        raise BadRow(f"{what} holds a NUL character, which is not text")
    return text


def kind_of(value: Any) -> str:
    """
    >>> kind_of(None), kind_of([]), kind_of(b"x"), kind_of(3)
    ('missing', 'a list', 'binary', 'a number')
    """
    kinds = {str: "text", dict: "an object", list: "a list", bytes: "binary", bool: "true or false"}
    return "missing" if value is None else kinds.get(type(value), "a number")


def unpacked(value: Any) -> Any:
    """A cell that holds JSON (CSV has no lists) as the value it stands for."""
    if isinstance(value, str) and value[:1] in ("[", "{") and value[-1:] in ("]", "}"):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def as_messages(value: Any, what: str = "prompt") -> list[dict]:
    """A chat as `[{"role", "content"}]`, from text, messages, or ShareGPT's `from` and `value`.

    >>> as_messages([{"from": "human", "value": "Hello"}])
    [{'role': 'user', 'content': 'Hello'}]
    """
    if type(value) is not list and type(value) is not dict:
        value = unpacked(value)
    if isinstance(value, dict):
        value = value.get("messages") or value.get("conversations") or [value]
    if not isinstance(value, list):
        return [{"role": "user", "content": as_text(value, what)}]
    if not value:
        raise BadRow(f"{what} is empty")
    return [as_message(message, f"{what}, message {number}") for number, message in enumerate(value, 1)]


def as_message(message: Any, what: str) -> dict:
    if not isinstance(message, dict):
        raise BadRow(f"{what} is {kind_of(message)}; it should be an object with role and content")
    role = message.get("role") or message.get("from")
    if not isinstance(role, str) or role.lower() not in ROLES:
        raise BadRow(f"{what} has the role {role!r:.40}; known are {', '.join(ROLES)}")
    content = message.get("content", message.get("value"))
    return {"role": ROLES[role.lower()], "content": as_text(joined(content, what), what)}


def joined(content: Any, what: str) -> Any:
    """Content given as parts, as one text; an image among them cannot be ranked here."""
    if not isinstance(content, list):
        return content
    if not all(isinstance(part, dict) and part.get("type") == "text" for part in content):
        raise BadRow(f"{what} holds parts that are not text")
    return "".join(str(part.get("text", "")) for part in content)


def as_prompt(value: Any) -> list[dict]:
    if type(value) is str and value[:1] not in ("[", "{"):
        return [{"role": "user", "content": as_text(value, "prompt")}]
    messages = as_messages(value)
    if messages[-1]["role"] == "assistant":
        raise BadRow("the prompt ends with the assistant; it should end with what the assistant is to answer")
    if all(message["role"] in ("system", "developer") for message in messages):
        raise BadRow("the prompt has no message by a user")
    return messages


def as_completion(value: Any, number: int, source: str = "") -> Completion:
    what = f"completion {number}"
    if isinstance(value, str):
        return Completion(as_text(value, what), source)
    if isinstance(value, list):  # a chat of one message
        return Completion(last_answer(as_messages(value, what), what), source)
    if not isinstance(value, dict):
        raise BadRow(f"{what} is {kind_of(value)}; it should be text or an object with text")
    text = next((value[key] for key in ("text", "content", "value", "completion", "response") if key in value), None)
    source = str(value.get("source") or value.get("model") or source)[:200]
    metadata = value.get("metadata")
    return Completion(as_text(text, what), source, metadata if isinstance(metadata, dict) else None)


def last_answer(messages: list[dict], what: str) -> str:
    if len(messages) != 1 or messages[0]["role"] != "assistant":
        raise BadRow(f"{what} should be one message by the assistant; it has {len(messages)}")
    return messages[0]["content"]
