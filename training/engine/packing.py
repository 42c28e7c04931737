"""Linear layers in fp32 whose weights MKL lays out once for many products, and siblings that compute together.

Few rows, as decoding has, pass up to twice as fast.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

TOGETHER = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))  # of one parent, and given the same states
LEAST = 2**16  # weights of a layer that is worth it: MKL adds a megabyte and a half to each
ROWS = 64  # that a layout is meant for; it serves any number


@contextmanager
def packed(model: Any) -> Iterator[None]:
    """Inside, a model's linear layers compute with weights laid out anew, which must not change meanwhile. Where
    another library multiplies, or in half precision, nothing happens."""
    import torch

    known = torch.backends.mkl.is_available() and not torch.is_autocast_enabled("cpu")
    layers = [layer for layers in groups(model) for layer in install(layers)] if known else []
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


def groups(model: Any) -> Iterator[list[Any]]:
    """Every linear layer that can be packed, once, beside those it computes with."""
    seen = set()
    for parent in model.modules():
        for names in TOGETHER:
            layers = [bare(getattr(parent, name, None)) for name in names]
            if all(map(plain, layers)) and len({(layer.in_features, layer.bias is None) for layer in layers}) == 1:
                seen |= set(layers)
                yield layers
    for layer in model.modules():
        if plain(layer) and layer not in seen:
            yield [layer]


def bare(layer: Any) -> Any:
    """A layer without its adapter."""
    return getattr(layer, "base_layer", layer)


def plain(layer: Any) -> bool:
    import torch

    known = type(layer) is torch.nn.Linear and "forward" not in vars(layer)
    return known and layer.weight.dtype == torch.float32 and layer.weight.numel() >= LEAST


def install(layers: Sequence[Any]) -> Sequence[Any]:
    product = Product(layers)
    for at, layer in enumerate(layers):
        layer.forward = partial(product, at)
    return layers


class Product:
    """What several linear layers make of the same states."""

    def __init__(self, layers: Sequence[Any]) -> None:
        import torch

        weight = torch.cat([layer.weight.detach() for layer in layers])
        self.sizes = [layer.out_features for layer in layers]
        self.bias = None if layers[0].bias is None else torch.cat([layer.bias.detach() for layer in layers])
        self.laid_out = torch.ops.mkl._mkl_reorder_linear_weight(weight, ROWS)
        self.shape = weight.new_zeros(1).expand(weight.shape)  # all that is asked of the weights themselves
        self.states: Tensor | None = None
        self.parts: tuple[Tensor, ...] = ()

    def __call__(self, at: int, states: Tensor) -> Tensor:
        """Of `states` [..., inputs] what layer `at` makes, [..., outputs]."""
        import torch

        if states is not self.states:
            rows = states.numel() // states.shape[-1]
            whole = torch.ops.mkl._mkl_linear(states, self.laid_out, self.shape, self.bias, rows)
            self.states, self.parts = states, whole.split(self.sizes, -1)
        found = self.parts[at]
        if at + 1 == len(self.sizes):
            self.states, self.parts = None, ()  # of a long prompt they are large
        return found
