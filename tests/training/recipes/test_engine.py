"""The engine's numbers and gradients are those of the plain pass and of stock TRL."""

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from tests.training.recipes.conftest import planted_pairs
from tests.training.recipes.test_grpo import SHORT as GROUPS
from tests.training.recipes.test_grpo import trainer_of
from tests.training.recipes.test_ppo import learner_of, questions

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
    """Each build twice: plain, and sharing and keeping less."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, Qwen3Config, Qwen3ForCausalLM

    from training.engine import recompute
    from training.engine.sharing import share

    torch.manual_seed(0)
    builds = [LlamaForCausalLM(LlamaConfig(**SIZE)), Qwen3ForCausalLM(Qwen3Config(**SIZE, head_dim=16))]
    pairs = [(build, copy.deepcopy(build)) for build in builds]
    assert all(recompute.install(sharing.model) for _, sharing in pairs)
    assert [share(sharing.model, always=True).why_not for _, sharing in pairs] == ["", ""]
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
    assert "rotary" in share(gpt2).why_not and "slides" in share(gemma).why_not


RECIPES = ["dpo", "reward_model", "sft", "prm", "orm"]


@pytest.mark.parametrize("lora", [False, True])
@pytest.mark.parametrize("name", RECIPES)
def test_the_loss_of_a_batch_and_its_gradients_are_those_of_the_stock_trainer(make_run, name, lora):
    """TRL's, with nothing of ours but the rows; for labels of steps, which it left, our loss on a plain pass."""
    rows = None if name in ("prm", "orm") else list(planted_pairs(8))
    found = []
    for quick in (False, True):
        how = {"lora": lora, "shared_prompts": "on" if quick else "off", "per_device_train_batch_size": 4}
        trainer = trainer_of(make_run(name, train=rows, max_length=128, **how), quick)
        found.append(loss_and_slopes(trainer, next(iter(trainer.get_train_dataloader())), quick))
    alike(*found)


@pytest.mark.parametrize("most", [60, 150, 300])
@pytest.mark.parametrize("name", ["dpo", "reward_model"])
def test_a_batch_in_parts_has_the_loss_and_gradients_of_the_whole(make_run, monkeypatch, name, most):
    import torch

    from training.engine import parts

    rows, found = list(planted_pairs(12)), []
    for at, row in enumerate(rows):
        row["prompt"][0]["content"] += " please" * (at % 5)
        row["margin"] = 0.1 * at
    for tokens in (10**6, most):
        monkeypatch.setattr(parts, "TOKENS", tokens)
        how = {"lora": False, "per_device_train_batch_size": 12, "max_length": 128}
        trainer, passed = trainer_of(make_run(name, train=rows, **how), True), []
        batch = next(iter(trainer.get_train_dataloader()))
        learning = [p for p in trainer.model.parameters() if p.requires_grad]
        torch.manual_seed(0)
        for parameter in learning:
            if not parameter.any():
                torch.nn.init.normal_(parameter, std=0.05)
        plain = trainer.compute_loss
        trainer.compute_loss = lambda model, inputs, plain=plain, passed=passed, **rest: (
            passed.append(int(inputs["attention_mask"].sum())) or plain(model, inputs, **rest)
        )
        trainer.current_gradient_accumulation_steps = 3
        loss = trainer.training_step(trainer.model, batch)
        assert trainer.current_gradient_accumulation_steps == 3
        found.append((loss.item(), torch.cat([p.grad.flatten() for p in learning if p.grad is not None]), passed))
    alike(found[0][:2], found[1][:2])
    assert len(found[0][2]) == 1 < len(found[1][2]) and sum(found[1][2]) == found[0][2][0]
    assert max(found[1][2]) <= most or len(found[1][2]) == 12  # one pair in each, and no fewer


@pytest.mark.parametrize("lora", [False, True])
def test_a_group_and_its_gradients_are_those_of_the_stock_trainer(make_run, lora):
    found, batch = [], None
    for quick in (False, True):
        how = GROUPS | {"lora": lora, "shared_prompts": "on" if quick else "off"}
        trainer = trainer_of(make_run("grpo", list(questions()), list(questions(4)), **how), quick)
        batch = batch or trainer._generate_and_score_completions([trainer.train_dataset[at // 8] for at in range(16)])
        if not quick:
            trainer.compute_loss = super(type(trainer), trainer)._compute_loss
        found.append(loss_and_slopes(trainer, batch, quick))
    alike(*found)


def test_policy_value_and_reference_of_ppo_are_those_of_a_plain_pass(make_run):
    import torch

    prompts = [list(range(5, 30))] * 3 + [[7, 8]] * 2
    completions = [[9, 10, 11], [12], [9, 10], [5], [6, 7, 8, 9]]
    found = []
    for how in ("off", "on"):
        settings = GROUPS | {"lora": True, "lora_layers": 1, "shared_prompts": how}
        actor = learner_of(make_run("ppo", list(questions()), list(questions(4)), **settings)).actor
        torch.manual_seed(0)
        for parameter in actor.parameters:
            torch.nn.init.normal_(parameter, std=0.05)
        said = actor.say(prompts, completions)
        (said.log_probs.sin() + said.values.cos()).sum().backward()
        slopes = torch.cat([p.grad.flatten() for p in actor.parameters])
        found.append((said.log_probs.detach(), said.values.detach(), actor.reference(prompts, completions), slopes))
    for ours, theirs in zip(found[1], found[0], strict=True):
        close(ours, theirs)


def alike(stock, ours):
    assert ours[0] == pytest.approx(stock[0], rel=1e-5)
    close(ours[1], stock[1])


def loss_and_slopes(trainer, batch, shared):
    import torch

    torch.manual_seed(0)
    learning = [p for p in trainer.model.parameters() if p.requires_grad]
    for parameter in learning:
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.05)  # a head or an adapter that starts at zero would hide the rest
    core = trainer.model.get_base_model() if hasattr(trainer.model, "get_base_model") else trainer.model
    first, widths = core.base_model.layers[0], set()
    hook = first.register_forward_pre_hook(lambda _, args: widths.add(len(args[0])))
    loss = trainer.compute_loss(trainer.model, batch)
    hook.remove()
    assert (widths == {1}) == shared, widths
    loss.backward()
    return loss.item(), torch.cat([p.grad.flatten() for p in learning if p.grad is not None])
