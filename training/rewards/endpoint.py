"""A reward somebody else computes: prompts, completions and columns go to an address, numbers come back."""

import json
import os
from collections.abc import Callable, Sequence
from typing import Any

from training import pinned

PRIVATE = ("PRIVATE_ENDPOINTS", "STUDIO_PRIVATE_ENDPOINTS")  # trainings get the first, handed on by the studio
PATIENCE = 120.0  # seconds
LONGEST = 16 << 20  # bytes of an answer
AT_ONCE = 256  # completions in a request


class EndpointFailed(RuntimeError):
    """The service did not answer with rewards; the text says what it did."""


def endpoint(argument: str) -> Callable[..., list[float | None]]:
    """`POST {"prompts", "completions", columns…}` → `{"rewards": [number or null, …]}`."""
    pinned.split(argument)

    def reward(prompts: Sequence[Any], completions: Sequence[Any], **columns: Any) -> list[float | None]:
        lists = {name: values for name, values in columns.items() if sendable(values, len(prompts))}
        found: list[float | None] = []
        for at in range(0, len(prompts), AT_ONCE):
            part = slice(at, at + AT_ONCE)
            body = {name: values[part] for name, values in lists.items()}
            body |= {"prompts": list(prompts[part]), "completions": list(completions[part])}
            found += asked(argument, body)
        return found

    return reward


def sendable(values: Any, rows: int) -> bool:
    if not isinstance(values, (list, tuple)) or len(values) != rows:
        return False
    try:
        json.dumps(values)
    except (TypeError, ValueError):
        return False
    return True


def asked(url: str, body: dict[str, Any]) -> list[float | None]:
    """One request. The answer is checked for its length here; its numbers by whoever uses them."""
    import httpx

    way = pinned.transport(any(os.environ.get(name) == "1" for name in PRIVATE))
    try:
        with httpx.Client(transport=way, timeout=PATIENCE) as client, client.stream("POST", url, json=body) as answer:
            data = b""
            for piece in answer.iter_raw():
                data += piece
                if len(data) > LONGEST:
                    raise EndpointFailed(f"{url} never ends its answer.")
    except httpx.HTTPError as error:
        raise EndpointFailed(f"{url} does not answer ({type(error).__name__}).") from error
    if answer.is_error:
        raise EndpointFailed(f"{url} answers with HTTP {answer.status_code}.")
    try:
        found = json.loads(data)["rewards"]
    except (ValueError, LookupError, TypeError):
        raise EndpointFailed(f'{url} should answer with {{"rewards": [number or null, …]}}.') from None
    if not isinstance(found, list) or len(found) != len(body["prompts"]):
        raise EndpointFailed(f"{url} should answer with {len(body['prompts'])} rewards.")
    return found
