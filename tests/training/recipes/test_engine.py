"""The engine's numbers and gradients are those of the plain pass and of stock TRL."""

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from tests.training.recipes.conftest import planted_pairs
from tests.training.recipes.test_grpo import trainer_of

pytestmark = pytest.mark.training
SIZE = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "vocab_size": 50}
SIZE |= {"num_attention_heads": 4, "num_key_value_heads": 2}
PROMPTS = some.lists(
    some.tuples(some.integers(0, 40), some.lists(some.integers(0, 30), min_size=1, max_size=4)),
    min_size=1,
    max_size=3,
)


@pytest.fixture(scope="module")
def networks():
    """Each build twice: plain, and sharing."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, Qwen3Config, Qwen3ForCausalLM

    from training.engine.sharing import share

    torch.manual_seed(0)
    builds = [LlamaForCausalLM(LlamaConfig(**SIZE)), Qwen3ForCausalLM(Qwen3Config(**SIZE, head_dim=16))]
    pairs = [(build, copy.deepcopy(build)) for build in builds]
    assert [share(sharing.model, always=True) for _, sharing in pairs] == ["", ""]
    return pairs


def padded(rows, left):
    import torch

    width = max(1, *map(len, rows))
    sides = [([0] * (width - len(row)), row) for row in rows]
    ids = [gap + row if left else row + gap for gap, row in sides]
    mask = [[0] * len(gap) + [1] * len(row) if left else [1] * len(row) + [0] * len(gap) for gap, row in sides]
    return torch.tensor(ids), torch.tensor(mask)


def states_and_slopes(model, ids, mask):
    """Hidden states of the rows' own tokens, and the gradients of a sum of them with chance weights."""
    import torch

    model.zero_grad()
    states = model.model(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state[mask.bool()]
    weights = torch.randn(states.shape, generator=torch.Generator().manual_seed(1))
    (states * weights).sum().backward()
    slopes = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    return states.detach(), slopes


def close(ours, theirs, most=1e-5):
    assert float((ours - theirs).norm()) <= most * float(theirs.norm())


@settings(max_examples=40, deadline=None)
@given(PROMPTS, some.booleans(), some.randoms(use_true_random=False))
def test_any_rows_give_the_states_and_gradients_of_the_plain_pass(networks, prompts, left, chance):
    rows = []
    for length, completions in prompts:
        prompt = [chance.randrange(50) for _ in range(length)]
        rows += [prompt + [chance.randrange(50) for _ in range(more)] for more in completions]
    chance.shuffle(rows)
    ids, mask = padded(rows, left)
    if not mask.any():
        return
    for plain, sharing in networks:
        for ours, theirs in zip(
            states_and_slopes(sharing, ids, mask), states_and_slopes(plain, ids, mask), strict=True
        ):
            close(ours, theirs)


def test_a_pass_costs_what_its_own_tokens_cost(networks):
    _, sharing = networks[0]
    seen = []
    hook = sharing.model.layers[0].register_forward_pre_hook(lambda _, args: seen.append(args[0].shape))
    rows = [list(range(20)) + [30], list(range(20)) + [31, 32, 33], [40] * 50]
    states_and_slopes(sharing, *padded(rows, left=False))
    hook.remove()
    assert seen == [(1, 20 + 1 + 3 + 50, 32)]


@pytest.mark.parametrize("kind", ["checkpointing", "adapter", "adapter and frozen layers"])
def test_it_goes_with_what_else_saves(networks, kind):
    import torch
    from peft import LoraConfig, get_peft_model

    from training.engine.sharing import share
    from training.recipes.trunk import Trunk, frozen_depth

    models = [copy.deepcopy(networks[0][0]) for _ in range(2)]
    if kind == "checkpointing":
        for model in models:
            model.gradient_checkpointing_enable({"use_reentrant": False})
            model.train()
    else:
        adapter = LoraConfig(target_modules=["q_proj", "down_proj"], layers_to_transform=[2], init_lora_weights=False)
        models = [torch.manual_seed(0) and get_peft_model(model, adapter).get_base_model() for model in models]
    share(models[1].model, always=True)
    if kind == "adapter and frozen layers":
        assert frozen_depth(models[1]) == 2
        Trunk(models[1].model, 2).install()
    rows = [list(range(20)) + [30], list(range(20)) + [31, 32, 33], [40] * 9]
    batch = padded(rows, left=False)
    for _ in range(2):  # the second time from what is remembered
        for ours, theirs in zip(
            states_and_slopes(models[1], *batch), states_and_slopes(models[0], *batch), strict=True
        ):
            close(ours, theirs)


def test_builds_whose_tokens_cannot_be_taken_apart_are_left_alone():
    from transformers import Gemma3TextConfig, Gemma3TextModel, GPT2Config, GPT2Model

    from training.engine.sharing import share

    gpt2 = GPT2Model(GPT2Config(n_embd=32, n_layer=1, n_head=2, vocab_size=50))
    gemma = Gemma3TextModel(Gemma3TextConfig(**SIZE, head_dim=8, sliding_window=4))
    assert "rotary" in share(gpt2) and "slides" in share(gemma)


RECIPES = {
    "dpo": {"per_device_train_batch_size": 4, "max_length": 128},
    "reward_model": {"per_device_train_batch_size": 4, "max_length": 128},
    "sft": {"per_device_train_batch_size": 4, "max_length": 128},
}


@pytest.mark.parametrize("lora", [False, True])
@pytest.mark.parametrize("name", RECIPES)
def test_the_loss_of_a_batch_and_its_gradients_are_those_of_stock_trl(make_run, name, lora):
    found = []
    for quick in (False, True):
        how = RECIPES[name] | {"lora": lora, "shared_prompts": "on" if quick else "off"}
        run_dir = make_run(name, train=list(planted_pairs(8)), **how)
        found.append(loss_and_slopes(trainer_of(run_dir, quick)))
    (loss, slopes), (ours, our_slopes) = found
    assert ours == pytest.approx(loss, rel=1e-5)
    close(our_slopes, slopes)


def loss_and_slopes(trainer):
    import torch

    torch.manual_seed(0)
    learning = [p for p in trainer.model.parameters() if p.requires_grad]
    for parameter in learning:
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.05)  # a head or an adapter that starts at zero would hide the rest
    batch = next(iter(trainer.get_train_dataloader()))
    loss = trainer.compute_loss(trainer.model, batch)
    loss.backward()
    return loss.item(), torch.cat([p.grad.flatten() for p in learning if p.grad is not None])
