"""A served policy and a served scorer as what a search asks for: batches of requests, their tokens counted."""

import asyncio
from collections.abc import Coroutine, Sequence
from concurrent.futures import CancelledError, Future
from itertools import pairwise
from math import exp
from typing import Any

from training import serving
from training.headtohead import at_once
from training.models import ModelVersion
from training.search_draw import Ask, Move, Scored

WAYS = 4  # whole solutions asked for in one request, so that progress shows between
TRACES = 64  # scored in one request
CHARACTERS_A_TOKEN = 4  # where an endpoint does not count its tokens


class Stopped(Exception):
    """Somebody cancelled the search."""


class Served:
    """The two callables of one problem. They block; their requests run on `loop`, which is another thread's."""

    def __init__(
        self,
        messages: list[dict],
        policy: ModelVersion,
        scorer: ModelVersion | None,
        sampling: dict[str, Any],
        separator: str,
        loop: asyncio.AbstractEventLoop,
    ):
        self.messages, self.sampling, self.separator, self.loop = messages, sampling, separator, loop
        self.policy_model, self.scorer_model = policy, scorer
        self.tokens = self.ways = self.level = 0  # how far it is
        self.going_on = self.blank = 0  # ways after the first step
        self.asking: Future | None = None
        self.stopped = False

    def stop(self) -> None:
        """End the requests under way, and the search with them."""
        self.stopped = True
        if self.asking:
            self.asking.cancel()

    def wait(self, work: Coroutine) -> Any:
        """The result of requests. Raises Stopped, and ServingError."""
        self.asking = asyncio.run_coroutine_threadsafe(work, self.loop)
        if self.stopped:
            self.asking.cancel()
        try:
            return self.asking.result()
        except CancelledError:
            raise Stopped from None

    def policy(self, asks: Sequence[Ask]) -> list[list[Move]]:
        self.level = max(self.level, 1 + max(len(ask.steps) for ask in asks))
        return self.wait(at_once(self.moves(ask) for ask in asks))

    async def moves(self, ask: Ask) -> list[Move]:
        parts = asyncio.gather(*(self.request(part) for part in in_parts(ask)))
        return [move for part in await parts for move in part]

    async def request(self, ask: Ask) -> list[Move]:
        answer = await serving.post(self.policy_model, "chat/completions", self.body(ask))
        moves = moves_in(answer, ask, self.separator)
        self.tokens += sum(move.tokens for move in moves)
        self.ways += len(moves)
        if ask.steps:
            self.heed(moves)
        return moves

    def heed(self, moves: Sequence[Move]) -> None:
        """Raise ServingError when every step after the first is blank: the separator was dropped, and comes again."""
        self.going_on += sum(bool(move.steps) or move.end != "step" for move in moves)
        self.blank += sum(not move.steps and move.end == "step" for move in moves)
        if self.blank >= WAYS and not self.going_on:
            raise serving.ServingError(
                f"{self.policy_model} writes no step after the first. Its server seems to drop the {self.separator!r} "
                "at the end of what it is to continue; the studio's own server keeps it."
            )

    def body(self, ask: Ask) -> dict[str, Any]:
        sampling = self.sampling | ({"temperature": 0} if ask.greedy else {})
        prefix = self.separator.join([*ask.steps, ""]) if ask.steps else ""
        body = serving.going_on(self.messages, prefix) | sampling
        body |= {"n": ask.count, "max_tokens": ask.max_tokens, "seed": ask.seed}
        return body if ask.whole else body | {"stop": [self.separator]}

    def scorer(self, traces: Sequence[Sequence[str]]) -> list[Scored]:
        slices = [traces[at : at + TRACES] for at in range(0, len(traces), TRACES)]
        parts = self.wait(at_once(self.score(part) for part in slices))
        return [scored for part in parts for scored in part]

    async def score(self, traces: Sequence[Sequence[str]]) -> list[Scored]:
        """Scores of every step by a process reward model, of the last one by any other."""
        if self.scorer_model.makes == "reward_model":
            items = [{"messages": [*self.messages, self.turn(trace)]} for trace in traces]
            answer = await serving.post(self.scorer_model, "score", {"items": items})
            scores = [[None] * (len(t) - 1) + [sigmoid(s)] for t, s in zip(traces, answer["scores"], strict=True)]
        else:
            items = [{"messages": self.messages, "steps": list(trace)} for trace in traces]
            answer = await serving.post(self.scorer_model, "score_steps", {"items": items})
            scores = answer["scores"]
        read = (answer.get("usage") or {}).get("prompt_tokens", 0)
        return [Scored(line, 0 if at else read) for at, line in enumerate(scores)]  # the first bears what all have read

    def turn(self, trace: Sequence[str]) -> dict[str, str]:
        return {"role": "assistant", "content": self.separator.join(trace)}


def in_parts(ask: Ask) -> list[Ask]:
    """An ask for many whole solutions as several smaller ones; each way keeps its seed.

    >>> [(part.count, part.seed) for part in in_parts(Ask((), 6, 100, 7, whole=True))]
    [(4, 7), (2, 11)]
    """
    if not ask.whole:
        return [ask]
    starts = range(0, ask.count, WAYS)
    return [ask._replace(count=min(WAYS, ask.count - at), seed=ask.seed + at) for at in starts]


def moves_in(answer: dict[str, Any], ask: Ask, separator: str) -> list[Move]:
    """The moves of one reply; its tokens are shared out by length of text, since a reply only says their sum."""
    choices = answer["choices"]
    texts = [choice["message"].get("content") or "" for choice in choices]
    made = (answer.get("usage") or {}).get("completion_tokens")
    made = sum(map(len, texts)) // CHARACTERS_A_TOKEN + len(texts) if made is None else made
    shares = share_out(made, [len(text) + 1 for text in texts])
    return [
        Move(split(text, separator), tokens, end_of(choice, text, ask.whole, separator))
        for choice, text, tokens in zip(choices, texts, shares, strict=True)
    ]


def split(text: str, separator: str) -> list[str]:
    r"""
    >>> split("\nTwo and two.\n\n\n\nSo 4.\n", "\n\n")
    ['Two and two.', 'So 4.']
    """
    return [step.strip("\n") for step in text.split(separator) if step.strip()]


def end_of(choice: dict[str, Any], text: str, whole: bool, separator: str) -> str:
    """How a choice ended: by its limit, with the solution, or with a step only.

    A server that does not say which stop string it met is asked on; it has finished when it then says nothing.

    >>> end_of({"finish_reason": "stop", "stop_reason": None}, "So 4.", whole=False, separator=";")
    'finished'
    """
    if choice.get("finish_reason") != "stop":
        return "cut"
    if "stop_reason" in choice and not whole:
        return "step" if choice["stop_reason"] == separator else "finished"
    return "finished" if whole or not text.strip() else "step"


def share_out(total: int, parts: Sequence[int]) -> list[int]:
    """Whole numbers in proportion to `parts` that add up to `total`.

    >>> share_out(10, [1, 1, 1])
    [3, 4, 3]
    """
    whole, edges = sum(parts), [0]
    for at in range(len(parts)):
        edges.append(round(total * sum(parts[: at + 1]) / whole))
    return [after - before for before, after in pairwise(edges)]


def sigmoid(reward: float) -> float:
    """A reward as a chance to be preferred, so that weights of equal answers add up.

    >>> sigmoid(0.0), sigmoid(-1000.0)
    (0.5, 0.0)
    """
    return 1 / (1 + exp(-reward)) if reward > -700 else 0.0
