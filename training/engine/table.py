"""A table of words that embedding and head share: what both say of its gradient is added up in one place.

Autograd would give each of them a gradient as large as the table, fill one of them with zeros first, and add the two.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


def install(model: Any) -> None:
    """Have a model's embedding add its gradient to `grad` itself, as the head does where `is_ours` says so. Nothing
    else may watch that gradient come, as training in several processes does."""
    import torch

    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    table, plain = getattr(head, "weight", None), type(embedding) is torch.nn.Embedding and embedding.max_norm is None
    if plain and embedding.weight is table and table.requires_grad:
        table.is_ours = True
        embedding.forward = functools.partial(look_up, table, embedding.padding_idx)


def is_ours(table: Tensor) -> bool:
    return getattr(table, "is_ours", False)


def look_up(table: Tensor, padding: int | None, ids: Tensor) -> Tensor:
    return lookup().apply(table, padding, ids)


@functools.cache
def lookup() -> Any:
    import torch

    class Lookup(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, table: Tensor, padding: int | None, ids: Tensor) -> Tensor:
            ctx.save_for_backward(ids)
            ctx.table, ctx.padding = table, padding
            return torch.nn.functional.embedding(ids, table, padding)

        @staticmethod
        def backward(ctx: Any, upstream: Tensor) -> tuple[None, None, None]:
            (ids,), table = ctx.saved_tensors, ctx.table
            counts = ids.flatten() != (-1 if ctx.padding is None else ctx.padding)
            if table.grad is None:
                table.grad = torch.zeros_like(table)
            table.grad.index_add_(0, ids.flatten()[counts], upstream.flatten(0, -2)[counts].to(table.dtype))
            return None, None, None

    return Lookup
