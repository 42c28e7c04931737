"""Attention a block at a time is torch's attention, and stands in for it where numbers are half as long."""

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from tests.training.recipes.test_engine import SIZE, close, padded, states_and_slopes

pytestmark = pytest.mark.training


def both(query, key, value, upstream, ours):
    """What attention makes of it, and the gradients; by us, or by torch."""
    import torch
    from torch.nn.functional import scaled_dot_product_attention

    from training.engine import blocks

    parts = [part.clone().requires_grad_() for part in (query, key, value)]
    if ours:
        made = blocks.attend(*parts, None)
    else:
        queries, keys = query.shape[2], key.shape[2]
        seen = torch.ones(queries, keys, dtype=torch.bool).tril(keys - queries)
        made = scaled_dot_product_attention(*parts, attn_mask=seen, enable_gqa=True)
    made.backward(upstream)
    return [made.detach(), *(part.grad for part in parts)]


@settings(max_examples=30, deadline=None)
@given(some.integers(1, 40), some.integers(0, 40), some.integers(1, 2), some.integers(1, 3), some.integers(1, 16))
def test_any_queries_find_what_the_plain_attention_finds(queries, before, few, group, block):
    import torch

    from training.engine import blocks

    chance = torch.Generator().manual_seed(queries)
    heads, keys = few * group, before + queries
    shapes = [(1, heads, queries, 8), (1, few, keys, 8), (1, few, keys, 8), (1, queries, heads, 8)]
    query, key, value, upstream = (torch.randn(shape, generator=chance) for shape in shapes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK", block)
        pairs = [both(query, key, value, upstream.transpose(1, 2), ours) for ours in (True, False)]
    for ours, theirs in zip(*pairs, strict=True):
        assert ours.shape == theirs.shape
        close(ours, theirs, 1e-5)


def test_half_precision_goes_by_blocks_and_stays_near_the_plain_pass(monkeypatch):
    """Nearer than the plain pass in half precision is, or hardly further."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from training.engine import attention, blocks, recompute
    from training.engine.sharing import share

    torch.manual_seed(0)
    plain = LlamaForCausalLM(LlamaConfig(**SIZE))
    sharing = copy.deepcopy(plain)
    assert recompute.install(sharing.model) and not share(sharing.model, always=True).why_not
    attend, calls = blocks.attend, []
    monkeypatch.setattr(blocks, "attend", lambda *parts: calls.append(parts[0].shape) or attend(*parts))
    monkeypatch.setattr(attention, "SMALL", 0)
    prompt = [at % 50 for at in range(60)]
    ids, mask = padded([prompt + [3] * 40, prompt + [5] * 25, [7, 8, 9] * 3], left=False)
    exact = states_and_slopes(plain, ids, mask)
    with torch.autocast("cpu", torch.bfloat16):
        halves = [states_and_slopes(model, ids, mask) for model in (sharing, plain)]
    assert [shape[2] for shape in calls] == [100, 25, 9] * 3
    for ours, theirs, wanted in zip(*halves, exact, strict=True):
        assert 0 < float((ours - wanted).norm()) <= 1.5 * float((theirs - wanted).norm())


def test_a_tree_is_passed_in_half_precision_where_its_attention_is_quicker():
    from training.engine.sharing import worth
    from training.engine.tree import Tree

    tree = Tree.of([list(range(at, at + 100)) for at in range(0, 400, 100)])
    assert not worth(tree, 400, weights=10**8, layers=30)
    assert worth(tree, 400, weights=10**8, layers=30, half=True)
    assert worth(tree, 500, weights=10**8, layers=30)
    assert not worth(Tree.of([[at] * 20 for at in range(8)]), 160, weights=10**8, layers=30, half=True)
