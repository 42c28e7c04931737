"""Attention over a tree of tokens: every segment attends to its ancestors and to itself, nothing else is computed."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from training.engine import blocks
from training.engine.recompute import again, kind_of
from training.engine.tree import Tree

if TYPE_CHECKING:
    from torch import Tensor

NAME = "prefix_tree"
SMALL = 20_000  # scores of a line, on average, that are had sooner in fp32, as one call, than in bf16 on a CPU


class Layout:
    """Where the lines of a tree stand, and the masks they need, made once for all layers."""

    def __init__(self, tree: Tree, device: Any) -> None:
        import torch

        self.lines, self.device, self.device_type = tree.lines, device, torch.device(device).type
        self.sizes = [line.end - line.start for line in self.lines]
        self.small = tree.scores < SMALL * len(self.lines)
        self.paths = [[self.within(*span) for span in line.before] for line in self.lines]  # to ancestors
        self.places = [
            (0, torch.tensor(places, dtype=torch.long, device=device)) for places in tree.places
        ]  # of each row's tokens
        self.masks: dict[tuple[int, int, Any], Tensor] = {}

    def within(self, start: int, end: int) -> tuple[int, int, int]:
        """The line that these tokens are part of, the first of them in it, and how many."""
        at = next(at for at, line in enumerate(self.lines) if line.start <= start < line.end)
        return at, start - self.lines[at].start, end - start

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float | None) -> Tensor:
        """`query` [1, heads, tokens, size], `key` and `value` perhaps with fewer heads. Returns [1, tokens, heads,
        size]."""
        import torch

        kind, on_cpu = kind_of(query), self.device_type == "cpu"
        used = torch.float32 if on_cpu and self.small else kind
        attend = blocks.attend if on_cpu and used != torch.float32 else self.fused
        put = joined if self.small else whole  # a few keys are quicker kept than made again
        queries, *others = (Lines(part.to(used).split(self.sizes, 2)) for part in (query, key, value))
        found = []
        for at, path in enumerate(self.paths):
            seen = (put([*(part.piece(*span) for span in path), part.lines[at]], dim=2) for part in others)
            found.append(attend(queries.lines[at], *seen, scale).transpose(1, 2))
        return whole(found, dim=1, kind=kind)

    def fused(self, query: Tensor, key: Tensor, value: Tensor, scale: float | None) -> Tensor:
        """As blocks.attend, by torch's own attention in the type of its input."""
        import torch
        from torch.nn.functional import scaled_dot_product_attention as attention

        options = {"is_causal": True} if query.shape[2] == key.shape[2] else {"attn_mask": self.mask(query, key)}
        with torch.autocast(self.device_type, enabled=False):
            return attention(query, key, value, scale=scale, enable_gqa=True, **options)

    def mask(self, query: Tensor, key: Tensor) -> Tensor:
        """[queries, keys], to be added to scores: of the last keys, which are the queries' own, none ahead of them."""
        import torch

        queries, keys = query.shape[2], key.shape[2]
        if (queries, keys, query.dtype) not in self.masks:
            ahead = torch.full((queries, keys), -torch.inf, dtype=query.dtype, device=self.device)
            self.masks[queries, keys, query.dtype] = ahead.triu(keys - queries + 1)
        return self.masks[queries, keys, query.dtype]


class Lines:
    """Keys, say, of every line, and pieces of them that others see: each cut out once, so that it has one gradient."""

    def __init__(self, lines: Sequence[Tensor]) -> None:
        self.lines = lines
        self.piece = functools.cache(lambda at, start, length: lines[at].narrow(2, start, length))


def whole(parts: list[Tensor], dim: int, kind: Any = None) -> Tensor:
    """As one tensor, of which autograd keeps the parts alone."""
    made = joined(parts, dim, kind)
    if made is parts[0]:
        return made
    parts = [part.detach() for part in parts]
    return again(made, lambda: joined(parts, dim, kind))


def joined(parts: list[Tensor], dim: int, kind: Any = None) -> Tensor:
    """As one tensor, of the type `kind` if there is one; a single part is not copied."""
    import torch

    made = parts[0] if len(parts) == 1 else torch.cat(parts, dim)
    return made if kind is None else made.to(kind)


def teach(decoder: Any) -> None:
    """Have a decoder attend as the tree says that its pass is given; without one it is plain SDPA."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS

    AttentionInterface.register(NAME, forward)
    AttentionMaskInterface.register(NAME, ALL_MASK_ATTENTION_FUNCTIONS["sdpa"])
    decoder.set_attn_implementation(NAME)


def forward(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Any, tree: Any = None, **rest: Any
) -> tuple[Tensor, None]:
    """Attention's output, [1, tokens, heads, size], and no weights: where there is a `tree`, as that says."""
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    if tree is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **rest)
    return tree.attend(module.layer_idx, query, key, value, rest.get("scaling")), None
