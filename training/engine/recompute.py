"""What is cheap to make is made again on the way back, instead of being kept for it: norms, gates, keys side by side.

Linear layers keep what they were given, for their weights' gradients. Of a layer with a gated MLP that is half of all
that a pass leaves behind, and a few passes over memory make it anew (selective recomputation: Korthikanti et al.,
https://arxiv.org/abs/2205.05198). Gradients are those of the plain layers.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

LAYER = {"self_attn", "mlp", "input_layernorm", "post_attention_layernorm"}  # both norms stand before linear layers
MLP = {"gate_proj", "up_proj", "down_proj", "act_fn"}
MADE: ContextVar[dict[int, tuple[weakref.ref[Tensor], Again]] | None] = ContextVar("made", default=None)
"""Of the pass that is going on, by where they lie: tensors that can be made again."""
SAVES = "norms and gates computed again on the way back, not kept"


def install(decoder: Any) -> bool:
    """Have a decoder's passes keep neither its layers' norms nor its gates; whether it is of a build that can."""
    import torch

    layers = getattr(decoder, "layers", ())
    if not len(layers) or not all(map(known, layers)):
        return False
    plain = decoder.forward
    for layer in layers:
        for norm in norms(layer):
            norm.forward = functools.partial(normalised, norm)
        layer.mlp.forward = functools.partial(gated, layer.mlp)

    def forward(*args: Any, **kwargs: Any) -> Any:
        with kept_less() if torch.is_grad_enabled() else nullcontext():
            return plain(*args, **kwargs)

    decoder.forward = functools.wraps(plain)(forward)
    return True


def known(layer: Any) -> bool:
    """Whether a layer's norms and MLP are what is computed here: tried on a few numbers."""
    import torch

    if {name for name, _ in layer.named_children()} != LAYER or {name for name, _ in layer.mlp.named_children()} != MLP:
        return False
    if not all(hasattr(norm, "weight") and hasattr(norm, "variance_epsilon") for norm in norms(layer)):
        return False
    first = norms(layer)[0].weight
    few = torch.linspace(-2, 3, 2 * len(first), dtype=first.dtype, device=first.device).view(1, 2, -1)
    with torch.no_grad(), torch.autocast(few.device.type, enabled=False):
        pairs = [(norm(few), normalised(norm, few)) for norm in norms(layer)]
        pairs.append((layer.mlp(few), gated(layer.mlp, few)))
    most = 1e-2 if first.dtype.itemsize < 4 else 1e-5
    return all(bool((one - other).norm() <= most * one.norm()) for one, other in pairs)


def norms(layer: Any) -> tuple[Any, Any]:
    return layer.input_layernorm, layer.post_attention_layernorm


def normalised(norm: Any, states: Tensor) -> Tensor:
    import torch

    rest = inverse(states.detach(), norm.variance_epsilon), kind_of(states)
    make = functools.partial(norm_of, states.detach(), norm.weight.detach(), *rest)
    return again(functions()[0].apply(states, norm.weight, *rest), make) if torch.is_grad_enabled() else make()


def gated(mlp: Any, states: Tensor) -> Tensor:
    import torch

    gate, up = mlp.gate_proj(states), mlp.up_proj(states)
    make = functools.partial(gate_of, gate.detach(), up.detach())
    return mlp.down_proj(again(functions()[1].apply(gate, up), make) if torch.is_grad_enabled() else make())


def again(tensor: Tensor, make: Callable[[], Tensor]) -> Tensor:
    """The tensor. Who would keep it in this pass keeps `make` instead, which makes it of what is kept anyhow."""
    if (made := MADE.get()) is not None and tensor.numel():
        made[tensor.data_ptr()] = weakref.ref(tensor), Again(make)
    return tensor


@contextmanager
def kept_less() -> Iterator[None]:
    """Inside, autograd keeps of what went through `again` only how it is made."""
    import torch

    token = MADE.set({})
    try:
        with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
            yield
    finally:
        MADE.reset(token)


def pack(tensor: Tensor) -> Any:
    found = MADE.get().get(tensor.data_ptr())
    if found is None or found[0]() is None:  # in place of one that is gone another may lie there by now
        return tensor
    found[1].wanted += 1
    return found[1], tensor.shape, tensor.stride()


def unpack(packed: Any) -> Tensor:
    return packed[0]().as_strided(*packed[1:]) if type(packed) is tuple else packed


class Again:
    """Makes a tensor once for as many as want it."""

    def __init__(self, make: Callable[[], Tensor]) -> None:
        self.make, self.wanted = make, 0
        self.tensor: Tensor | None = None

    def __call__(self) -> Tensor:
        if self.tensor is None:
            self.tensor = self.make()
        found, self.wanted = self.tensor, self.wanted - 1
        if self.wanted <= 0:
            self.tensor = None
        return found


def kind_of(states: Tensor) -> Any:
    """The type in which linear layers compute with these states."""
    import torch

    device = states.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else states.dtype


def norm_of(states: Tensor, weight: Tensor, scale: Tensor, kind: Any) -> Tensor:
    """`states` [..., size] times their `scale` [..., 1] and `weight` [size]."""
    return ((states.float() * scale).to(states.dtype) * weight).to(kind)


def inverse(states: Tensor, eps: float) -> Tensor:
    """One over the root of the states' mean square, [..., 1]."""
    import torch

    length = torch.linalg.vector_norm(states.float(), dim=-1, keepdim=True)
    return length.square_().div_(states.shape[-1]).add_(eps).rsqrt_()


def gate_of(gate: Tensor, up: Tensor) -> Tensor:
    from torch.nn.functional import silu

    return silu(gate).mul_(up)


@functools.cache
def functions() -> tuple[Any, Any]:
    import torch

    class Norm(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, states: Tensor, weight: Tensor, scale: Tensor, kind: Any) -> Tensor:
            ctx.save_for_backward(states, weight, scale)
            return norm_of(states, weight, scale, kind)

        @staticmethod
        def backward(ctx: Any, upstream: Tensor) -> tuple[Any, ...]:
            states, weight, scale = ctx.saved_tensors
            wide, upstream, size = states.float(), upstream.float(), len(weight)
            slope = (upstream * wide).flatten(0, -2)
            of_weight = slope.t().mv(scale.flatten()).to(weight.dtype) if ctx.needs_input_grad[1] else None
            along = slope.mv(weight.float()).view_as(scale).mul_(scale**3)
            of_states = (upstream * weight).mul_(scale).addcmul_(wide, along, value=-1 / size)
            return of_states.to(states.dtype), of_weight, None, None

    class Gate(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
            ctx.save_for_backward(gate, up)
            return gate_of(gate, up)

        @staticmethod
        def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, Tensor]:
            gate, up = ctx.saved_tensors
            of_gate = torch.ops.aten.silu_backward(upstream * up, gate)
            return of_gate, gate_of(gate, upstream)

    return Norm, Gate
