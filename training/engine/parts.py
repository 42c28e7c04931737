"""A batch of pairs of more tokens than a pass should hold goes through in parts, and their gradients add up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

TOKENS = 2048  # of a forward and backward pass: more are no faster, and what they leave is held until the way back


class InParts:
    """On a CPU, of a trainer from TRL whose batches are pairs and whose loss is the mean over them."""

    def training_step(self, model: Any, inputs: Mapping[str, Tensor], num_items_in_batch: Any = None) -> Tensor:
        parts = parts_of(inputs, TOKENS) if self.accelerator.device.type == "cpu" else [inputs]
        step = super().training_step
        self.current_gradient_accumulation_steps *= len(parts)  # by which every part's loss is divided
        try:
            return sum(step(model, part, num_items_in_batch) for part in parts)
        finally:
            self.current_gradient_accumulation_steps //= len(parts)


def parts_of(batch: Mapping[str, Tensor], tokens: int) -> list[Mapping[str, Tensor]]:
    """A batch of pairs as batches of fewer pairs, as many in each, of at most `tokens` tokens where that can be.

    Of n pairs, `input_ids`, `attention_mask` and all that has 2n rows begin with what was chosen and end with what was
    rejected; all else has n.
    """
    count = len(batch["input_ids"]) // 2
    sizes = batch["attention_mask"].sum(1).view(2, count).sum(0).tolist()
    parts = groups(sizes, tokens)
    return [batch] if len(parts) == 1 else [narrowed(batch, part, count) for part in parts]


def groups(sizes: Sequence[int], tokens: int) -> list[list[int]]:
    """Which of things of these sizes pass together: as few groups of one count as do, long ones beside short ones.

    >>> groups([5, 1, 9, 2], 100), groups([5, 1, 9, 2], 12), groups([5, 1, 9], 12)
    ([[2, 0, 3, 1]], [[2, 1], [0, 3]], [[2], [0], [1]])
    """
    order, found = sorted(range(len(sizes)), key=lambda at: -sizes[at]), []
    for count in (count for count in range(1, len(sizes) + 1) if len(sizes) % count == 0):
        rounds = [order[at : at + count] for at in range(0, len(order), count)]  # turning round keeps the sums alike
        turned = [one[:: -1 if at % 2 else 1] for at, one in enumerate(rounds)]
        found = [list(group) for group in zip(*turned, strict=True)]
        if max(sum(sizes[at] for at in group) for group in found) <= tokens:
            break
    return found


def narrowed(batch: Mapping[str, Tensor], pairs: list[int], count: int) -> dict[str, Tensor]:
    """These pairs alone, without the columns that only others need."""
    both = [*pairs, *(at + count for at in pairs)]
    found = {name: values[both if len(values) == 2 * count else pairs] for name, values in batch.items()}
    used, width = found["attention_mask"].any(0).nonzero()[:, 0], batch["attention_mask"].shape[1]
    columns = slice(int(used[0]), int(used[-1]) + 1)
    return {
        name: values[:, columns] if values.dim() == 2 and values.shape[1] == width else values
        for name, values in found.items()
    }
