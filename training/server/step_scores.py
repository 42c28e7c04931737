"""Scores of reasoning traces over HTTP: how likely each step is right, or the whole solution; one pass a trace."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from training.recipes.steps import TooLong, Window, trace_windows
from training.server import protocol
from training.server.exchange import read_json, unless_gone
from training.server.loading import Model
from training.server.protocol import ApiError

if TYPE_CHECKING:
    from training.server.shelf import Shelf


@dataclass
class Traces:
    """The windows of all items of a request, and which item each belongs to."""

    windows: list[Window]
    owners: list[int]
    steps: list[int]  # how many each item has

    def scores(self, values: list[list[float]]) -> list[list[float | None]]:
        """A number a step; None where an outcome reward model reads none."""
        found: list[list[float | None]] = [[None] * count for count in self.steps]
        for window, owner, probs in zip(self.windows, self.owners, values, strict=True):
            for step, p in zip(window.steps, probs, strict=True):
                found[owner][step] = p
        return found

    def cut(self) -> list[dict]:
        """Steps whose beginning did not fit beside the prompt: what a caller should know of a score."""
        pairs = zip(self.windows, self.owners, strict=True)
        return [{"item": owner, "step": window.steps[0]} for window, owner in pairs if window.cut]


async def score_steps(request: Request) -> Response:
    """POST /v1/score_steps: a list of probabilities for each trace."""
    name, items = protocol.read_score_steps(await read_json(request))
    return JSONResponse(await unless_gone(request, steps_scored(request, name, items)))


async def steps_scored(request: Request, name: str, items: list[tuple[list[dict], list[str]]]) -> dict:
    shelf: Shelf = request.app.state.shelf
    async with shelf.borrow(name) as lane:
        if lane.model.task not in ("steps", "outcome"):
            message = f"{name} does not score steps; a model trained by prm or orm does"
            raise ApiError(400, message, "wrong_task", "model")
        traces = await asyncio.to_thread(prepare_traces, lane.model, items)
        values = await shelf.engine.scored(lane, traces.windows)
    tokens = sum(map(len, traces.windows))
    request.state.about = f" {name} {len(items)} traces {sum(traces.steps)} steps {tokens} tokens"
    answer = {"object": "list", "model": name, "scores": traces.scores(values), "usage": protocol.usage(tokens, 0)}
    return answer | ({"cut": cut} if (cut := traces.cut()) else {})


def prepare_traces(model: Model, items: list[tuple[list[dict], list[str]]]) -> Traces:
    found = Traces([], [], [len(steps) for _, steps in items])
    for index, (messages, steps) in enumerate(items):
        parts = windows_of(model, messages, steps, f"items[{index}]")
        found.windows += parts
        found.owners += [index] * len(parts)
    return found


def windows_of(model: Model, messages: list[dict], steps: list[str], param: str) -> list[Window]:
    """The same windows training reads: `trace_windows` makes both."""
    try:
        return trace_windows(model.chat, messages, steps, model.separator, model.window, model.task == "outcome")
    except TooLong as fault:
        message = f"{param}: {fault}, the most {model.name} reads at once"
        raise ApiError(400, message, "context_length_exceeded", param) from fault
    except Exception as fault:
        message = f"the chat template of {model.name} refused the messages: {fault}"
        raise ApiError(400, message, "chat_template", f"{param}.messages") from fault


def solution_window(model: Model, messages: list[dict], param: str) -> Window:
    """A chat whose last turn is a solution, as an outcome reward model reads it: cut where its separator stands."""
    if messages[-1]["role"] != "assistant" or len(messages) < 2:
        message = f"{param}.messages must end with the assistant's solution, after the problem"
        raise ApiError(400, message, "invalid_value", f"{param}.messages")
    steps = messages[-1]["content"].removesuffix(model.separator).split(model.separator)
    return windows_of(model, messages[:-1], steps, param)[0]
