"""Attention over a tree of tokens: every segment attends to its ancestors and to itself, nothing else is computed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from training.engine.recompute import again, kind_of
from training.engine.tree import Segment, Tree

if TYPE_CHECKING:
    from torch import Tensor

NAME = "prefix_tree"
SMALL = 50_000  # scores of a segment that take, there and back, half as long in fp32 as in bf16 on a CPU


class Layout:
    """Where the segments of a tree stand, and the masks they need, made once for all layers."""

    def __init__(self, tree: Tree, device: Any) -> None:
        import torch

        self.segments, self.device, self.device_type = tree.segments, device, torch.device(device).type
        self.sizes = [segment.end - segment.start for segment in tree.segments]
        at = {segment.start: number for number, segment in enumerate(tree.segments)}
        self.paths = [[at[start] for start, _ in segment.before] for segment in tree.segments]  # to ancestors
        self.places = [
            (0, torch.tensor(places, dtype=torch.long, device=device)) for places in tree.places
        ]  # of each row's tokens
        self.masks: dict[tuple[int, int], Tensor] = {}

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float | None) -> Tensor:
        """`query` [1, heads, tokens, size], `key` and `value` perhaps with fewer heads. Returns [1, tokens, heads,
        size]."""
        import torch
        from torch.nn.functional import scaled_dot_product_attention as attention

        found = []
        queries, keys, values = (part.split(self.sizes, dim=2) for part in (query, key, value))
        for at, (segment, path) in enumerate(zip(self.segments, self.paths, strict=True)):
            small = self.device_type == "cpu" and self.sizes[at] * (segment.depth + self.sizes[at]) < SMALL
            kind = torch.float32 if small else kind_of(query)
            put = beside if small else whole  # a few keys are quicker kept than made again
            seen = (put([part[one] for one in (*path, at)], kind, dim=2) for part in (keys, values))
            options = {"attn_mask": self.mask(segment)} if path else {"is_causal": True}
            with torch.autocast(self.device_type, enabled=not small and torch.is_autocast_enabled(self.device_type)):
                found.append(attention(queries[at].to(kind), *seen, scale=scale, enable_gqa=True, **options))
        return whole([part.transpose(1, 2) for part in found], kind_of(query), dim=1)

    def mask(self, segment: Segment) -> Tensor:
        """[queries, keys]: all that is before the segment, and of itself what is not ahead."""
        import torch

        queries, before = segment.end - segment.start, segment.depth
        if (queries, before) not in self.masks:
            seen = torch.ones(queries, before + queries, dtype=torch.bool, device=self.device).tril(before)
            self.masks[queries, before] = seen
        return self.masks[queries, before]


def whole(parts: list[Tensor], kind: Any, dim: int) -> Tensor:
    """As one tensor of one type, of which autograd keeps the parts alone."""
    made = beside(parts, kind, dim)
    if made is parts[0]:
        return made
    parts = [part.detach() for part in parts]
    return again(made, lambda: beside(parts, kind, dim))


def beside(parts: list[Tensor], kind: Any, dim: int) -> Tensor:
    return joined([part if part.dtype == kind else part.to(kind) for part in parts], dim)


def joined(parts: list[Tensor], dim: int) -> Tensor:
    """As one tensor; a single part is not copied."""
    import torch

    return parts[0] if len(parts) == 1 else torch.cat(parts, dim)


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
