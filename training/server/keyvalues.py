"""Keys and values of rows that decode together, [rows, heads, columns, size]: grown, cut and joined between steps."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

ROOM = 64  # columns a buffer is enlarged by, so that it is copied once in as many steps


def new_cache() -> Any:
    from transformers.cache_utils import Cache

    return Cache(layer_class_to_replicate=roomy_layer())


@cache
def roomy_layer() -> type:
    from transformers.cache_utils import DynamicLayer

    class RoomyLayer(DynamicLayer):
        """Keys and values in buffers with room to grow: a step writes one column and copies nothing."""

        buffers: Any = (None, None)

        def update(self, key_states, value_states, *args, **kwargs):
            if not self.is_initialized:
                self.lazy_initialization(key_states, value_states)
            length = self.get_seq_length()
            self.buffers = [
                write(buffer, held, fresh, length)
                for buffer, held, fresh in zip(
                    self.buffers, (self.keys, self.values), (key_states, value_states), strict=True
                )
            ]
            end = length + key_states.shape[-2]
            self.keys, self.values = (buffer[:, :, :end] for buffer in self.buffers)
            return self.keys, self.values

        def replace(self, keys, values):
            """Hold other keys and values."""
            self.keys, self.values, self.buffers = keys, values, (None, None)

        def settle(self, buffers, width):
            """Hold the first `width` columns of buffers that have room for more."""
            self.buffers = buffers
            self.keys, self.values = (buffer[:, :, :width] for buffer in buffers)

    return RoomyLayer


def write(buffer: Tensor | None, held: Tensor, fresh: Tensor, length: int) -> Tensor:
    rows, heads, width, size = fresh.shape
    if buffer is None or buffer.shape[2] < length + width:
        buffer = fresh.new_empty(rows, heads, length + width + ROOM, size)
        if length:
            buffer[:, :, :length] = held
    buffer[:, :, length : length + width] = fresh
    return buffer


def select(cache: Any, index: Tensor, left: int = 0) -> Any:
    """Keep the rows in index (one may come twice) and the columns from left on."""
    for layer in cache.layers:
        layer.replace(layer.keys[index, :, left:], layer.values[index, :, left:])
    return cache


def merge(old: Any, old_mask: Tensor, new: Any, new_mask: Tensor) -> tuple[Any, Tensor]:
    """One cache of both, the shorter padded on its left."""
    import torch

    for ours, theirs in zip(old.layers, new.layers, strict=True):
        ours.replace(stack(ours.keys, theirs.keys), stack(ours.values, theirs.values))
    width = max(old_mask.shape[1], new_mask.shape[1])
    masks = [torch.nn.functional.pad(mask, (width - mask.shape[1], 0)) for mask in (old_mask, new_mask)]
    return old, torch.cat(masks)


def stack(a: Tensor, b: Tensor) -> Tensor:
    out = a.new_zeros(len(a) + len(b), a.shape[1], max(a.shape[2], b.shape[2]), a.shape[3])
    out[: len(a), :, out.shape[2] - a.shape[2] :] = a
    out[len(a) :, :, out.shape[2] - b.shape[2] :] = b
    return out


def fork(pieces: Sequence[tuple[Any, int, int, int]]) -> Any:
    """A cache with one row for each (cache, row, start, end): that stretch of it, ending at the last column."""
    width = max(end - start for _, _, start, end in pieces)
    forked = new_cache()
    for depth in range(len(pieces[0][0].layers)) if width else ():
        forked.update(*(cut(pieces, depth, kind, width) for kind in ("keys", "values")), depth)
    return forked


def cut(pieces: Sequence[tuple[Any, int, int, int]], depth: int, kind: str, width: int) -> Tensor:
    sources = [getattr(cache.layers[depth], kind) for cache, *_ in pieces]
    heads, _, size = sources[0].shape[1:]
    out = sources[0].new_zeros(len(pieces), heads, width, size)
    for at, (source, (_, row, start, end)) in enumerate(zip(sources, pieces, strict=True)):
        out[at, :, width - (end - start) :] = source[row, :, start:end]
    return out


def regroup(old: Any, kept: Tensor, left: int, new: Any, chosen: Tensor) -> Any:
    """Kept rows of `old` (its columns from `left` on) and chosen rows of `new` as one cache, copied once, with room."""
    for ours, theirs in zip(old.layers if old else new.layers, new.layers, strict=True):
        width = theirs.keys.shape[2]
        if old:
            width = max(width, ours.keys.shape[2] - left)
        buffers = []
        for kind in ("keys", "values"):
            fresh = getattr(theirs, kind)
            out = fresh.new_zeros(len(kept) + len(chosen), fresh.shape[1], width + ROOM, fresh.shape[3])
            if old:
                place(out[: len(kept), :, :width], getattr(ours, kind)[:, :, left:], kept)
            place(out[len(kept) :, :, :width], fresh, chosen)
            buffers.append(out)
        ours.settle(buffers, width)
    return old or new


def place(out: Tensor, source: Tensor, index: Tensor) -> None:
    """Rows of source, in the order of index, against the right edge of out."""
    out[:, :, out.shape[2] - source.shape[2] :] = source[index]
