"""Attention in half precision on a CPU: matrix products, a block of queries at a time, over the keys they see.

torch's fused attention has no fast products of bf16 there. As there, no more of the scores stands in memory than a
block's; they are computed again on the way back.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

BLOCK = 128  # queries


def attend(query: Tensor, key: Tensor, value: Tensor, scale: float | None) -> Tensor:
    """`query` [1, heads, queries, size]; `key` and `value` [1, fewer heads, keys, size], the last of them the queries'
    own. A query sees what is not ahead of it. Returns [1, heads, queries, size]."""
    return function().apply(query, key, value, scale or query.shape[3] ** -0.5)


def blocks(queries: int, keys: int, group: int) -> Iterator[tuple[slice, int, int]]:
    """Of each block: its rows where every query has `group` of them, how many keys it sees, and how many queries."""
    for start in range(0, queries, BLOCK):
        end = min(start + BLOCK, queries)
        yield slice(start * group, end * group), keys - queries + end, end - start


def side_by_side(part: Tensor, few: int) -> Tensor:
    """[1, heads, queries, size] with the heads that share keys as rows: [few, queries · heads / few, size]."""
    return part.view(few, -1, *part.shape[2:]).transpose(1, 2).flatten(1, 2)


def apart(rows: Tensor, shape: Any) -> Tensor:
    """The other way round."""
    _, heads, queries, size = shape
    return rows.view(len(rows), queries, -1, size).transpose(1, 2).reshape(shape)


def weights(rows: Tensor, key: Tensor, own: int) -> Tensor:
    """[few, rows, keys]: how much each row attends to each key, of which the last `own` are the block's queries."""
    import torch

    scores = torch.bmm(rows, key.transpose(1, 2))
    scores[..., -own:] += ahead(own, rows.shape[1] // own, rows.dtype)
    return scores.softmax(-1)


@functools.lru_cache(maxsize=64)
def ahead(own: int, group: int, kind: Any) -> Tensor:
    import torch

    return torch.full((own, own), -torch.inf, dtype=kind).triu(1).repeat_interleave(group, 0)


@functools.cache
def function() -> Any:
    import torch

    class Attend(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
            ctx.save_for_backward(query, key, value)
            ctx.scale, few, queries = scale, key.shape[1], query.shape[2]
            rows = side_by_side(query, few) * scale
            found = torch.empty_like(rows)
            for block, seen, own in blocks(queries, key.shape[2], query.shape[1] // few):
                found[:, block] = torch.bmm(weights(rows[:, block], key[0, :, :seen], own), value[0, :, :seen])
            return apart(found, query.shape)

        @staticmethod
        def backward(ctx: Any, upstream: Tensor) -> tuple[Any, ...]:
            query, key, value = ctx.saved_tensors
            few, queries = key.shape[1], query.shape[2]
            rows, upstream = side_by_side(query, few) * ctx.scale, side_by_side(upstream, few)
            of_rows = torch.empty_like(rows)
            of_key, of_value = (torch.zeros(part.shape[1:], dtype=torch.float32) for part in (key, value))
            for block, seen, own in blocks(queries, key.shape[2], query.shape[1] // few):
                keys, slope = key[0, :, :seen], upstream[:, block]
                some = weights(rows[:, block], keys, own)
                of_value[:, :seen] += torch.bmm(some.transpose(1, 2), slope)
                slope = torch.bmm(slope, value[0, :, :seen].transpose(1, 2))
                slope = torch.ops.aten._softmax_backward_data(slope, some, -1, slope.dtype)
                of_rows[:, block] = torch.bmm(slope, keys)
                of_key[:, :seen] += torch.bmm(slope.transpose(1, 2), rows[:, block])
            of_query = apart(of_rows.mul_(ctx.scale), query.shape)
            return of_query, of_key[None].to(key.dtype), of_value[None].to(value.dtype), None

    return Attend
