"""Draw groups of completions from a policy in training: a prompt is read once, rows that ended leave the batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from training.recipes.weights import core_of

if TYPE_CHECKING:
    from torch import Generator, Tensor

MOST_ROWS = 256  # decoded together: beyond this, more rows are hardly faster
FEWER = 0.75  # rows that ended leave when no more than this share goes on: leaving costs a copy


@dataclass
class Drawn:
    """One completion: its tokens, the one that ended it included, and their log-probabilities as they were drawn."""

    tokens: list[int]
    log_probs: list[float]
    ended: bool


def draw(
    network: Any,
    prompts: Sequence[list[int]],
    n: int,
    *,
    max_tokens: int,
    temperature: float,
    eos: frozenset[int],
    generator: Generator | None = None,
) -> list[list[Drawn]]:
    """n completions of each prompt, in the order of the prompts. Temperature 0 takes the likeliest token.

    Log-probabilities are those of the distribution drawn from: softmax(logits / temperature).
    """
    import torch

    order = sorted(range(len(prompts)), key=lambda at: len(prompts[at]))
    at_once, found = max(1, MOST_ROWS // n), {}
    with torch.no_grad():
        for start in range(0, len(order), at_once):
            part = order[start : start + at_once]
            rows = decode([prompts[at] for at in part], n, Decoder(network), max_tokens, temperature, eos, generator)
            found |= {at: rows[i * n : (i + 1) * n] for i, at in enumerate(part)}
    return [found[at] for at in range(len(prompts))]


class Decoder:
    """A network and the keys and values of its rows."""

    def __init__(self, network: Any) -> None:
        import inspect

        self.network, self.cache = network, None
        core = core_of(network)
        self.options = {"logits_to_keep": 1} if "logits_to_keep" in inspect.signature(core.forward).parameters else {}

    def forward(self, ids: Tensor, mask: Tensor, positions: Tensor) -> Tensor:
        """Logits of the last column, [rows, vocabulary] in float32."""
        inputs = {"input_ids": ids, "position_ids": positions, "past_key_values": self.cache, "use_cache": True}
        if not bool(mask.all()):  # without padding no mask is needed, and none is faster
            inputs["attention_mask"] = mask
        return self.network(**inputs, **self.options).logits[:, -1].float()


def decode(
    prompts: Sequence[list[int]],
    n: int,
    decoder: Decoder,
    max_tokens: int,
    temperature: float,
    eos: frozenset[int],
    generator: Generator | None,
) -> list[Drawn]:
    import torch

    from training.server.batching import pad_left
    from training.server.keyvalues import new_cache, select

    device = decoder.network.device
    ids, mask = pad_left(prompts, device)
    decoder.cache = new_cache()
    logits = decoder.forward(ids, mask, (mask.cumsum(-1) - 1).clamp(min=0))
    index = torch.arange(len(prompts), device=device).repeat_interleave(n)
    if n > 1:
        decoder.cache, mask, logits = select(decoder.cache, index), mask[index], logits[index]
    lengths = mask.sum(-1)
    ends = torch.tensor(sorted(eos), device=device)
    tokens = torch.zeros(len(index), max_tokens, dtype=torch.long, device=device)
    log_probs = torch.zeros(len(index), max_tokens, device=device)
    counts = torch.full((len(index),), max_tokens, device=device)
    places = torch.arange(len(index), device=device)  # which row of the answer each row of the batch is
    for t in range(max_tokens):
        token, log_prob = pick(logits, temperature, generator)
        tokens[places, t], log_probs[places, t] = token, log_prob
        done = torch.isin(token, ends) & (counts[places] == max_tokens)
        counts[places[done]] = t + 1
        going = counts[places] == max_tokens
        if t + 1 == max_tokens or not going.any():
            break
        if going.sum() <= FEWER * len(going):
            kept = going.nonzero()[:, 0]
            left = mask.shape[1] - int(mask[kept].sum(1).max())  # columns that only those that left needed
            decoder.cache, mask = select(decoder.cache, kept, left), mask[kept, left:]
            places, token, lengths = places[kept], token[kept], lengths[kept]
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
        logits = decoder.forward(token[:, None], mask, lengths[:, None])
        lengths = lengths + 1
    decoder.cache = None
    return read(tokens, log_probs, counts, ends)


def pick(logits: Tensor, temperature: float, generator: Generator | None) -> tuple[Tensor, Tensor]:
    """A token a row and its log-probability, both [rows]. One number of chance a row finds its place among the summed
    probabilities; a number for each word of the vocabulary would take longer than a small model does."""
    import torch

    scores = (logits / temperature if temperature else logits).log_softmax(-1)
    if temperature:
        sums = scores.exp().cumsum(-1, dtype=torch.float64)
        place = torch.rand(len(sums), 1, dtype=torch.float64, device=sums.device, generator=generator) * sums[:, -1:]
        token = torch.searchsorted(sums, place, right=True).clamp(max=sums.shape[1] - 1)
    else:
        token = scores.argmax(-1, keepdim=True)
    return token[:, 0], scores.gather(-1, token)[:, 0]


def read(tokens: Tensor, log_probs: Tensor, counts: Tensor, ends: Tensor) -> list[Drawn]:
    import torch

    last = tokens.gather(1, (counts - 1)[:, None])[:, 0]
    rows = zip(tokens.tolist(), log_probs.tolist(), counts.tolist(), torch.isin(last, ends).tolist(), strict=True)
    return [Drawn(ids[:count], probs[:count], ended) for ids, probs, count, ended in rows]
