"""Weights laid out for many products: the same numbers as plain layers give, and nothing left behind."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

torch = pytest.importorskip("torch")

SIZES = some.integers(1, 40)


class Block(torch.nn.Module):
    """Layers under the names that a decoder gives them, and one that computes alone."""

    def __init__(self, inputs, outputs, bias):
        super().__init__()
        for name, size in zip(("q_proj", "k_proj", "v_proj", "o_proj"), outputs, strict=True):
            setattr(self, name, torch.nn.Linear(inputs, size, bias=bias))

    def forward(self, states):
        """In an order of its own, each twice: a layer may be asked again."""
        layers = self.k_proj, self.q_proj, self.v_proj, self.o_proj, self.q_proj
        return [layer(states) for layer in layers]


@settings(max_examples=60, deadline=None)
@given(SIZES, some.lists(SIZES, min_size=4, max_size=4), some.booleans(), some.lists(SIZES, min_size=1, max_size=2))
def test_any_layers_and_any_rows_give_what_plain_layers_give(inputs, outputs, bias, rows):
    from training.engine.packing import packed

    torch.manual_seed(0)
    block = Block(inputs, outputs, bias)
    some_states, others = torch.randn(*rows, inputs), torch.randn(*rows, inputs)
    with torch.no_grad():
        plain = [block(states) for states in (some_states, others, some_states)]
        with packed(block):
            ours = [block(states) for states in (some_states, others, some_states)]
        after = block(others)
    for one, other in zip(sum(ours, []) + after, sum(plain, []) + plain[1], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)
    assert not any("forward" in vars(layer) for layer in block.modules())


def test_layers_behind_adapters_compute_together_and_learned_weights_are_laid_out_anew(monkeypatch):
    from peft import LoraConfig, inject_adapter_in_model

    from training.engine import packing

    monkeypatch.setattr(packing, "LEAST", 64)  # the adapter's own layers have fewer
    torch.manual_seed(0)
    adapter = LoraConfig(target_modules=["q_proj"], r=4, init_lora_weights=False)
    block = inject_adapter_in_model(adapter, Block(8, [8] * 4, bias=False))
    states, products, plain = torch.randn(3, 8), [], packing.Product
    monkeypatch.setattr(packing, "Product", lambda layers: products.append(len(layers)) or plain(layers))
    with torch.no_grad():
        for _ in range(2):
            wanted = block(states)
            with packing.packed(block):
                found = block(states)
            torch.testing.assert_close(found, wanted)
            block.k_proj.weight += 1
    assert products == [3, 1] * 2


def test_in_half_precision_and_after_an_error_layers_are_as_they_were():
    from training.engine.packing import packed

    block = Block(8, [8] * 4, bias=True)
    with torch.autocast("cpu", torch.bfloat16), packed(block):
        assert not any("forward" in vars(layer) for layer in block.modules())
    with pytest.raises(RuntimeError, match="inside"), packed(block):
        raise RuntimeError("inside")
    assert not any("forward" in vars(layer) for layer in block.modules())


def test_nothing_of_a_long_prompt_is_held():
    from training.engine.packing import Product

    layers = [torch.nn.Linear(4, 4) for _ in range(3)]
    product = Product(layers)
    states = torch.randn(1, 5, 4)
    for at in range(3):
        product(at, states)
    assert product.states is None and product.parts == ()
