"""A table that embedding and head share gets the gradient autograd would give it, in one place."""

import copy

import pytest

from tests.training.recipes.test_engine import SIZE, close

pytestmark = pytest.mark.training


@pytest.fixture
def model():
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(**SIZE, tie_word_embeddings=True, pad_token_id=0))


def loss_of(model, ids, by):
    """A loss of log-probabilities, by the head that knows of the table, by the plain one, or by none at all."""
    from training.recipes.head import score_tokens

    states = model.model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1].flatten(0, 1)
    targets = ids[:, 1:].flatten()
    if by == "ours":
        return -score_tokens(states, model.lm_head.weight, targets)[0].mean()
    if by == "plain":
        return -model.lm_head(states).log_softmax(-1).gather(1, targets[:, None]).mean()
    return states.pow(3).mean()


@pytest.mark.parametrize("passes", [["ours"], ["plain"], ["states"], ["ours", "plain"], ["ours", "ours", "states"]])
@pytest.mark.parametrize("half", [False, True])
def test_its_gradient_is_that_of_autograd(model, passes, half):
    import torch

    from training.engine import table

    ids = torch.randint(0, 50, (3, 12), generator=torch.Generator().manual_seed(1))  # the padding token among them
    ours, theirs = model, copy.deepcopy(model)
    table.install(ours)
    for one in (ours, theirs):
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            first, *others = [loss_of(one, ids.roll(at, 1), by) for at, by in enumerate(passes)]
        first.backward()  # of its own, and then of all others at once
        if others:
            sum(others).backward()
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        close(one.grad, other.grad, most=0.02 if half else 1e-5)


def test_one_that_is_not_shared_does_not_learn_or_is_scaled_is_left_alone(model):
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig, LlamaConfig, LlamaForCausalLM

    from training.engine import table

    apart = LlamaForCausalLM(LlamaConfig(**SIZE))
    scaled = Gemma3ForCausalLM(Gemma3TextConfig(**SIZE, head_dim=8))
    model.requires_grad_(False)
    for one in (model, apart, scaled):
        table.install(one)
        assert not table.is_ours(one.get_input_embeddings().weight)
        assert "forward" not in vars(one.get_input_embeddings())
