"""Read OpenAI-style requests, refuse bad ones clearly, and shape the replies."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from training.server.sampling import Sampling

ROLES = {"system", "developer", "user", "assistant", "tool"}
# What would change the answer and is not done here is refused, never ignored.
UNSUPPORTED = ("tools", "functions", "logit_bias", "frequency_penalty", "presence_penalty", "best_of", "audio")
MAX_N, MAX_STOPS, MAX_TOP_LOGPROBS, MAX_ITEMS = 128, 16, 20, 1024
MAX_STEPS = 2000  # of a trace


class ApiError(Exception):
    """An answer that is an error: a status and the message the person reads."""

    def __init__(self, status: int, message: str, code: str, param: str | None = None, retry_after: int = 0):
        super().__init__(message)
        self.status, self.message, self.code, self.param = status, message, code, param
        self.headers = {"Retry-After": str(retry_after)} if retry_after else {}

    def body(self) -> dict:
        kind = "server_error" if self.status >= 500 else "invalid_request_error"
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}


def bad(param: str, message: str) -> ApiError:
    return ApiError(400, f"{param} {message}", "invalid_value", param)


@dataclass(frozen=True)
class ChatRequest:
    model: str
    messages: list[dict]
    sampling: Sampling
    n: int = 1
    max_tokens: int | None = None
    stop: list[str] = field(default_factory=list)
    stream: bool = False
    include_usage: bool = False
    top_logprobs: int | None = None  # None: no log-probs; 0: of the chosen tokens only
    continue_final_message: bool = False
    ignore_eos: bool = False


def read_chat(body: Any) -> ChatRequest:
    """Check a /v1/chat/completions body. Raises ApiError naming the field and what it should be."""
    model = read_model(body)
    refuse_unsupported(body)
    longest = "max_completion_tokens" if body.get("max_completion_tokens") is not None else "max_tokens"
    options = body.get("stream_options") or {}
    if not isinstance(options, dict):
        raise bad("stream_options", "must be an object")
    return ChatRequest(
        model=model,
        messages=read_messages(body.get("messages"), "messages"),
        sampling=read_sampling(body),
        n=read_integer(body, "n", 1, 1, MAX_N),
        max_tokens=read_integer(body, longest, None, 1, 10**9),
        stop=read_stop(body.get("stop")),
        stream=read_flag(body, "stream"),
        include_usage=read_flag(options, "include_usage"),
        top_logprobs=read_top_logprobs(body),
        continue_final_message=read_flag(body, "continue_final_message"),
        ignore_eos=read_flag(body, "ignore_eos"),
    )


def read_sampling(body: dict) -> Sampling:
    return Sampling(
        temperature=read_number(body, "temperature", 1.0, 0, 2),
        top_p=read_number(body, "top_p", 1.0, 0, 1),
        top_k=read_integer(body, "top_k", 0, 0, 1_000_000),
        seed=read_integer(body, "seed", None, -(2**63), 2**63 - 1),
    )


def read_score(body: Any) -> tuple[str, list[list[dict]]]:
    """Check a /v1/score body; returns the model's name and one list of messages for every item."""
    model = read_model(body)
    items = body.get("items")
    if not isinstance(items, list) or not 1 <= len(items) <= MAX_ITEMS:
        raise bad("items", f"must be a list of 1 to {MAX_ITEMS} objects with messages")
    for index, item in enumerate(items):
        if not isinstance(item, dict):
            raise bad(f"items[{index}]", "must be an object with messages")
    return model, [read_messages(item.get("messages"), f"items[{i}].messages") for i, item in enumerate(items)]


def read_score_steps(body: Any) -> tuple[str, list[tuple[list[dict], list[str]]]]:
    """Check a /v1/score_steps body; returns the model's name and messages and steps of every item."""
    model = read_model(body)
    items = body.get("items")
    if not isinstance(items, list) or not 1 <= len(items) <= MAX_ITEMS:
        raise bad("items", f"must be a list of 1 to {MAX_ITEMS} objects with messages and steps")
    for index, item in enumerate(items):
        if not isinstance(item, dict):
            raise bad(f"items[{index}]", "must be an object with messages and steps")
    return model, [
        (
            read_messages(item.get("messages"), f"items[{i}].messages"),
            read_steps(item.get("steps"), f"items[{i}].steps"),
        )
        for i, item in enumerate(items)
    ]


def read_steps(steps: Any, name: str) -> list[str]:
    if not isinstance(steps, list) or not 1 <= len(steps) <= MAX_STEPS:
        raise bad(name, f"must be a list of 1 to {MAX_STEPS} steps, each of them text")
    for at, step in enumerate(steps):
        if not isinstance(step, str):
            raise bad(f"{name}[{at}]", "must be text")
    return [valid_text(step, f"{name}[{at}]") for at, step in enumerate(steps)]


def read_model(body: Any) -> str:
    if not isinstance(body, dict):
        raise ApiError(400, "the request body must be a JSON object", "invalid_json")
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise bad("model", "must name a model; GET /v1/models lists them")
    return model


def read_messages(messages: Any, name: str) -> list[dict]:
    if not isinstance(messages, list) or not messages:
        raise bad(name, "must be a list of one message or more")
    return [read_message(message, f"{name}[{i}]") for i, message in enumerate(messages)]


def read_message(message: Any, name: str) -> dict:
    if not isinstance(message, dict):
        raise bad(name, "must be an object with role and content")
    role = message.get("role")
    if role not in ROLES:
        raise bad(f"{name}.role", f"must be one of {', '.join(sorted(ROLES))}")
    content = read_content(message.get("content"), f"{name}.content")
    return {"role": "system" if role == "developer" else role, "content": content}


def read_content(content: Any, name: str) -> str:
    if isinstance(content, list) and all(isinstance(p, dict) and isinstance(p.get("text"), str) for p in content):
        content = "".join(part["text"] for part in content)
    if not isinstance(content, str):
        raise bad(name, "must be text, or a list of text parts")
    return valid_text(content, name)


def valid_text(text: str, name: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise bad(name, "holds half a surrogate pair, which no text can hold") from None
    return text


def read_stop(stop: Any) -> list[str]:
    stops = [stop] if isinstance(stop, str) else stop or []
    if not isinstance(stops, list) or not all(isinstance(s, str) and s for s in stops) or len(stops) > MAX_STOPS:
        raise bad("stop", f"must be a string or a list of at most {MAX_STOPS} strings, none empty")
    return [valid_text(s, "stop") for s in stops]


def read_top_logprobs(body: dict) -> int | None:
    count = read_integer(body, "top_logprobs", 0, 0, MAX_TOP_LOGPROBS)
    if count and not body.get("logprobs"):
        raise bad("top_logprobs", "needs logprobs to be true")
    return count if read_flag(body, "logprobs") else None


def read_flag(body: dict, name: str) -> bool:
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise bad(name, "must be true or false")
    return bool(value)


def read_number(body: dict, name: str, default: Any, low: float, high: float) -> Any:
    value = body.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise bad(name, f"must be a number from {low} to {high}")
    return value


def read_integer(body: dict, name: str, default: Any, low: int, high: int) -> Any:
    value = read_number(body, name, default, low, high)
    if value is not None and value != int(value):
        raise bad(name, f"must be a whole number from {low} to {high}")
    return value if value is None else int(value)


def refuse_unsupported(body: dict) -> None:
    asked = [name for name in UNSUPPORTED if body.get(name)]
    if (body.get("response_format") or {"type": "text"}) != {"type": "text"}:
        asked.append("response_format")
    if asked:
        raise ApiError(400, f"{', '.join(asked)} cannot be honoured here; leave it out", "unsupported", asked[0])


def chunk(ident: str, model: str, choices: list[dict], usage: dict | None = None) -> dict:
    """One event of a streamed answer."""
    event = {
        "id": ident,
        "object": "chat.completion.chunk",
        "created": int(time.time()),
        "model": model,
        "choices": choices,
    }
    return event | ({"usage": usage} if usage else {})


def completion(ident: str, model: str, choices: list[dict], usage: dict) -> dict:
    """A whole answer."""
    return chunk(ident, model, choices, usage) | {"object": "chat.completion"}


def usage(prompt_tokens: int, completion_tokens: int) -> dict:
    total = prompt_tokens + completion_tokens
    return {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens, "total_tokens": total}
