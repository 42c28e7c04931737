"""Draw groups of completions from a policy in training: a prompt is read once, rows that ended leave the batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from training.engine import attention, decoding, packing, sharing
from training.recipes.head import is_plain
from training.recipes.weights import core_of

if TYPE_CHECKING:
    from torch import Generator, Tensor

    Pick = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
    Found = tuple[Tensor, Tensor, Tensor]  # tokens [rows, tokens], their numbers [rows, tokens, kinds], and how many

MOST_ROWS = 256  # that a model of another build decodes together
FEWER = 0.75  # rows that ended leave when no more than this share goes on: leaving costs a copy
BLOCK = 256  # words whose probabilities are summed first


@dataclass
class Drawn:
    """One completion: its tokens, the one that ended it included, and their log-probabilities as they were drawn; the
    values of where they were drawn, if a value head was asked."""

    tokens: list[int]
    log_probs: list[float]
    ended: bool
    values: list[float] | None = None


def draw(
    network: Any,
    prompts: Sequence[list[int]],
    n: int,
    *,
    max_tokens: int,
    temperature: float,
    eos: frozenset[int],
    generator: Generator | None = None,
    value_head: Any = None,
) -> list[list[Drawn]]:
    """n completions of each prompt, in the order of the prompts. Temperature 0 takes the likeliest token.

    Log-probabilities are those of the distribution drawn from: softmax(logits / temperature). Each token of a row has a
    number of chance of its own: but for rounding it does not depend on the rows beside it. `value_head` makes a value
    of a hidden state; only a model that the engine knows asks it.
    """
    import torch

    if not prompts:
        return []
    device = network.device
    ends = torch.tensor(sorted(eos), device=device)
    chance = torch.rand(len(prompts) * n, max_tokens, dtype=torch.float64, device=device, generator=generator)
    with torch.no_grad():
        way = partial(by_rows, value_head=value_head) if knows(network) else by_cache
        tokens, said, counts = way(network, prompts, chance, partial(pick, temperature=temperature), ends)
    last = torch.isin(tokens.gather(1, (counts - 1)[:, None])[:, 0], ends).tolist()
    numbers = said.movedim(2, 1).tolist()  # of each row: log-probabilities, then values
    drawn = [
        Drawn(ids[:count], kinds[0][:count], ended, *(kind[:count] for kind in kinds[1:]))
        for ids, kinds, count, ended in zip(tokens.tolist(), numbers, counts.tolist(), last, strict=True)
    ]
    return [drawn[at : at + n] for at in range(0, len(drawn), n)]


def knows(network: Any) -> bool:
    """Whether the engine decodes with such a model, and here."""
    core = core_of(network)
    alike = getattr(core.config.get_text_config(), "v_head_dim", None) is None  # keys and values of one size
    return network.device.type == "cpu" and alike and is_plain(core) and not sharing.unfit(core.base_model)


def by_rows(
    network: Any, prompts: Sequence[list[int]], chance: Tensor, pick: Pick, ends: Tensor, value_head: Any = None
) -> Found:
    import torch

    core = core_of(network)
    attention.teach(core.base_model)
    head = core.get_output_embeddings()

    def choose(states: Tensor, chance: Tensor) -> tuple[Tensor, Tensor]:
        token, log_prob = pick(head(states).float(), chance)
        values = [value_head(states.float())[:, 0].float()] if value_head else []
        return token, torch.stack([log_prob, *values], dim=1)

    with packing.packed(core):
        return decoding.decode(core.base_model, choose, prompts, chance, ends)


def by_cache(network: Any, prompts: Sequence[list[int]], chance: Tensor, pick: Pick, ends: Tensor) -> Found:
    """With transformers' cache, for every other model."""
    import torch

    n, found = len(chance) // len(prompts), []
    order = sorted(range(len(prompts)), key=lambda at: len(prompts[at]))
    for start in range(0, len(order), at_once := max(1, MOST_ROWS // n)):
        part = order[start : start + at_once]
        numbers = torch.tensor([at * n + one for at in part for one in range(n)], device=chance.device)
        rows = decode([prompts[at] for at in part], n, Decoder(network), chance[numbers], pick, ends)
        found.append((numbers, *rows))
    numbers, *parts = (torch.cat(column) for column in zip(*found, strict=True))
    back = numbers.argsort()
    tokens, log_probs, counts = (part[back] for part in parts)
    return tokens, log_probs[:, :, None], counts


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


def decode(prompts: Sequence[list[int]], n: int, decoder: Decoder, chance: Tensor, pick: Pick, ends: Tensor) -> Found:
    import torch

    from training.server.batching import pad_left
    from training.server.keyvalues import new_cache, select

    device, max_tokens = decoder.network.device, chance.shape[1]
    ids, mask = pad_left(prompts, device)
    decoder.cache = new_cache()
    logits = decoder.forward(ids, mask, (mask.cumsum(-1) - 1).clamp(min=0))
    index = torch.arange(len(prompts), device=device).repeat_interleave(n)
    if n > 1:
        decoder.cache, mask, logits = select(decoder.cache, index), mask[index], logits[index]
    lengths = mask.sum(-1)
    tokens = torch.zeros(len(index), max_tokens, dtype=torch.long, device=device)
    log_probs = torch.zeros(len(index), max_tokens, device=device)
    counts = torch.full((len(index),), max_tokens, device=device)
    places = torch.arange(len(index), device=device)  # which row of the answer each row of the batch is
    for t in range(max_tokens):
        token, log_prob = pick(logits, chance[places, t])
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
    return tokens, log_probs, counts


def pick(logits: Tensor, chance: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """A token a row and its log-probability, both [rows]. One number of chance a row finds its place among the summed
    probabilities, first of blocks of words and then of a block's words; a number for each word, or one long sum, would
    take longer than a small model does."""
    import torch

    scores = logits / temperature if temperature else logits
    peak = scores.amax(-1, keepdim=True)
    weights = torch.nn.functional.pad((scores - peak).exp(), (0, -scores.shape[1] % BLOCK)).unflatten(1, (-1, BLOCK))
    blocks = weights.sum(-1, dtype=torch.float64).cumsum(-1)
    if temperature:
        place = chance[:, None] * blocks[:, -1:]
        block = torch.searchsorted(blocks, place, right=True).clamp(max=blocks.shape[1] - 1)
        words = weights.gather(1, block[:, :, None].expand(-1, -1, BLOCK))[:, 0].cumsum(-1, dtype=torch.float64)
        before = blocks.gather(1, block) - words[:, -1:]
        word = torch.searchsorted(words, place - before, right=True).clamp(max=BLOCK - 1)
        token = (block * BLOCK + word).clamp(max=scores.shape[1] - 1)
    else:
        token = scores.argmax(-1, keepdim=True)
    log_probs = scores.gather(-1, token) - peak - blocks[:, -1:].log().to(scores)
    return token[:, 0], log_probs[:, 0]
