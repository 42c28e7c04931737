"""What is made again on the way back is what would have been kept: gradients stay, and less is held."""

import copy

import pytest

from tests.training.recipes.test_engine import SIZE, close, padded, states_and_slopes

pytestmark = pytest.mark.training
ROWS = [[*range(1, 21), 30 + at, *range(40, 30 + 2 * at, -1)] for at in range(4)]


def made(lora=False, **size):
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**SIZE | size))
    if lora:
        from peft import LoraConfig, get_peft_model

        model = get_peft_model(model, LoraConfig(target_modules="all-linear", init_lora_weights=False)).base_model.model
    return model


def both(model):
    """The model, and a copy that keeps less."""
    from training.engine import recompute

    other = copy.deepcopy(model)
    assert recompute.install(other.model)
    return model, other


@pytest.mark.parametrize("lora", [False, True])
@pytest.mark.parametrize("half", [False, True])
def test_gradients_are_those_of_the_plain_layers(lora, half):
    import torch

    ids, mask = padded(ROWS, left=False)
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        plain, less = (states_and_slopes(model, ids, mask) for model in both(made(lora)))
    for ours, theirs in zip(less, plain, strict=True):
        close(ours, theirs, most=0.02 if half else 1e-6)


@pytest.mark.parametrize(("lora", "most"), [(False, 0.6), (True, 0.65)])
def test_a_pass_leaves_less_behind(lora, most):
    from torch.profiler import ProfilerActivity, profile

    def left_behind(model):
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as told:
            states = model.model(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
        assert states.requires_grad
        return sum(event.self_cpu_memory_usage for event in told.key_averages())

    ids, mask = padded(ROWS * 8, left=False)
    plain, less = both(made(lora, hidden_size=64, intermediate_size=192, num_hidden_layers=6))
    assert left_behind(less) < most * left_behind(plain)


def test_passes_may_go_back_in_any_order_and_more_than_once():
    ids, mask = padded(ROWS, left=False)
    found = []
    for model in both(made()):
        one, other = (
            model.model(input_ids=some, attention_mask=mask, use_cache=False).last_hidden_state.pow(3).sum()
            for some in (ids, ids.flip(0))
        )
        one.backward(retain_graph=True)
        other.backward()
        one.backward()
        found.append([p.grad for p in model.model.parameters()])
    for ours, theirs in zip(*found, strict=True):
        close(ours, theirs, most=1e-5)


def test_a_tensor_is_made_once_for_all_who_want_it_and_then_let_go():
    from training.engine.recompute import Again

    calls = []
    again = Again(lambda: calls.append(1) or "made")
    again.wanted = 2
    assert again() == "made" and again.tensor == "made"
    assert again() == "made" and again.tensor is None and len(calls) == 1


def test_layers_of_another_build_are_left_alone():
    from transformers import Gemma2Config, Gemma2ForCausalLM, LlamaConfig, LlamaForCausalLM

    from training.engine import recompute

    gelu = LlamaForCausalLM(LlamaConfig(**SIZE, hidden_act="gelu"))
    for model in (gelu, Gemma2ForCausalLM(Gemma2Config(**SIZE, head_dim=8))):
        assert not recompute.install(model.model)
        assert not any("forward" in vars(module) for module in model.modules())
