"""Choose the next token of one row, and turn tokens into text that is safe to send."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Generator, Tensor

HEAD = 1024  # a nucleus is nearly always within this many tokens, and finding them is far cheaper than a sort
HALF_A_CHARACTER = "\N{REPLACEMENT CHARACTER}"
LONGEST_WAIT = 16  # tokens; past it the bytes are not the start of a character but plain rubbish


@dataclass(frozen=True)
class Sampling:
    """temperature 0 is greedy; top_p 1 and top_k 0 cut nothing; no seed means a new one every time."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int | None = None


def make_generator(seed: int | None, index: int, device: Any) -> Generator:
    """A row's own stream of chance, so that its neighbours in a batch never change its answer."""
    import torch

    start = random.SystemRandom().getrandbits(63) if seed is None else seed
    return torch.Generator(device).manual_seed((start + index) % 2**63)


def pick(logits: Tensor, sampling: Sampling, generator: Generator) -> Tensor:
    """Draw one token id from logits [vocabulary], as a 0-d tensor that stays on its device.

    Gumbel-max: the highest of logit + noise is an exact draw from the softmax, and rounding changes it only where
    two candidates nearly tie; summing up probabilities would be far more sensitive to what else is in the batch.
    """
    import torch

    if sampling.temperature == 0:
        return logits.argmax()
    scores = narrow(logits / sampling.temperature, sampling.top_k, sampling.top_p)
    minus_gumbel = torch.empty_like(scores).exponential_(generator=generator).log_()
    return (scores - minus_gumbel).argmax()


def pick_rows(logits: Tensor, sampling: Sampling, generators: Sequence[Generator]) -> Tensor:
    """One token id a row from logits [rows, vocabulary]: what `pick` draws, for many rows in a few operations."""
    import torch

    if sampling.temperature == 0:
        return logits.argmax(-1)
    scores = logits / sampling.temperature
    if sampling.top_k or sampling.top_p < 1:
        scores = torch.stack([narrow(line, sampling.top_k, sampling.top_p) for line in scores])
    noise = torch.empty_like(scores)
    for line, generator in zip(noise, generators, strict=True):
        line.exponential_(generator=generator)
    return (scores - noise.log_()).argmax(-1)


def narrow(scores: Tensor, top_k: int, top_p: float) -> Tensor:
    """Leave the top_k best, then the fewest of those that hold top_p of the probability; the rest become -inf."""
    if 0 < top_k < len(scores):
        scores = scores.masked_fill(scores < scores.topk(top_k).values[-1], float("-inf"))
    if top_p < 1:
        probabilities = scores.softmax(-1)
        best = probabilities.topk(min(HEAD, len(scores))).values
        if best.sum() < top_p:
            best = probabilities.sort(descending=True).values
        before = best.cumsum(-1) - best
        last = max(int((before < top_p).sum()) - 1, 0)
        scores = scores.masked_fill(probabilities < best[last], float("-inf"))
    return scores


class TextStream:
    """Tokens in, text out: never half a character, never a part of a stop string."""

    def __init__(self, tokenizer: Any, stop: Sequence[str] = ()):
        self.tokenizer, self.stop = tokenizer, stop
        self.tokens: list[int] = []
        self.shown = self.start = 0  # text up to token `shown` was sent; decoding starts a little before, at `start`
        self.held = ""
        self.stopped_by: str | None = None  # the stop string that was met

    @property
    def stopped(self) -> bool:
        return self.stopped_by is not None

    def push(self, token: int) -> str:
        """The text that became certain with this token."""
        self.tokens.append(token)
        return self.release(self.fresh(final=False), final=False)

    def finish(self) -> str:
        """The text still held back when no more tokens come."""
        return "" if self.stopped else self.release(self.fresh(final=True), final=True)

    def fresh(self, final: bool) -> str:
        # Decoding from a little earlier keeps the spaces that some tokenizers drop at the start of a text.
        before = self.decode(self.tokens[self.start : self.shown])
        now = self.decode(self.tokens[self.start :])
        waiting = len(self.tokens) - self.shown <= LONGEST_WAIT and not final
        if len(now) <= len(before) or (waiting and now.endswith(HALF_A_CHARACTER)):
            return ""
        self.start, self.shown = self.shown, len(self.tokens)
        return now[len(before) :]

    def decode(self, tokens: list[int]) -> str:
        return self.tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)

    def release(self, text: str, final: bool) -> str:
        text = self.held + text
        found = [(at, stop) for stop in self.stop if (at := text.find(stop)) >= 0]
        if found:
            (at, self.stopped_by), self.held = min(found), ""
            return text[:at]
        keep = 0 if final else max((overlap(text, stop) for stop in self.stop), default=0)
        self.held = text[len(text) - keep :]
        return text[: len(text) - keep]


def overlap(text: str, stop: str) -> int:
    """How many characters at the end of text could be the beginning of stop.

    >>> overlap("one, tw", "two"), overlap("one", "two")
    (2, 0)
    """
    lengths = range(min(len(text), len(stop) - 1), 0, -1)
    return next((n for n in lengths if text.endswith(stop[:n])), 0)
