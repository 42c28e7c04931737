"""Drawing groups from a policy: the same tokens as transformers where chance has no part, for less."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from training.recipes import generate
from training.recipes.generate import draw

torch = pytest.importorskip("torch")

PROMPTS = [[5, 6, 7, 8, 9, 10], [11, 12], [7, 7, 30, 31], [40] * 12]
EOS = frozenset({2})


@pytest.fixture(scope="module", autouse=True)
def small_layers_are_packed_too():
    from training.engine import packing

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "LEAST", 1)
        yield


@pytest.fixture(scope="module")
def network(base_model):
    from transformers import AutoModelForCausalLM

    torch.manual_seed(1)
    network = AutoModelForCausalLM.from_pretrained(base_model).eval()
    with torch.no_grad():
        network.lm_head.weight.mul_(5)  # likely and unlikely tokens, ends among them
    return network


@pytest.fixture(params=["by_rows", "by_cache"])
def way(request, monkeypatch):
    monkeypatch.setattr(generate, "knows", lambda network: request.param == "by_rows")
    return request.param


def greedy(network, prompt, count):
    ids = torch.tensor([prompt])
    made = network.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=count, do_sample=False, eos_token_id=2, pad_token_id=0
    )[0, len(prompt) :].tolist()
    return made[: made.index(2) + 1] if 2 in made else made


def test_without_chance_it_says_what_transformers_says(network, way):
    groups = draw(network, PROMPTS, 2, max_tokens=12, temperature=0, eos=EOS)
    for prompt, group in zip(PROMPTS, groups, strict=True):
        assert [one.tokens for one in group] == [greedy(network, prompt, 12)] * 2


def test_log_probabilities_are_those_of_a_plain_pass_whoever_left_the_batch_before(network, way):
    eos = frozenset(range(0, 512, 3))  # most rows end early, so that the batch shrinks often
    chance = torch.Generator().manual_seed(3)
    groups = draw(network, PROMPTS, 16, max_tokens=10, temperature=0.8, eos=eos, generator=chance)
    lengths = {len(one.tokens) for group in groups for one in group}
    assert len(lengths) > 4
    for prompt, group in zip(PROMPTS, groups, strict=True):
        for one in group:
            assert one.ended == (one.tokens[-1] in eos) and not set(one.tokens[:-1]) & eos
            with torch.no_grad():
                logits = network(torch.tensor([prompt + one.tokens])).logits[0, len(prompt) - 1 : -1] / 0.8
            plain = logits.log_softmax(-1).gather(1, torch.tensor(one.tokens)[:, None])[:, 0]
            assert plain.tolist() == pytest.approx(one.log_probs, abs=2e-4)


def test_tokens_come_as_often_as_the_policy_says(network, way):
    chance = torch.Generator().manual_seed(0)
    (group,) = draw(network, PROMPTS[:1], 4000, max_tokens=1, temperature=3.0, eos=EOS, generator=chance)
    with torch.no_grad():
        wanted = (network(torch.tensor(PROMPTS[:1])).logits[0, -1] / 3.0).softmax(-1)
    seen = torch.bincount(torch.tensor([one.tokens[0] for one in group]), minlength=len(wanted)) / 4000
    top = wanted.topk(8).indices
    assert (seen[top] - wanted[top]).abs().max() < 0.03


def test_a_prompt_is_read_once_for_its_whole_group(network, monkeypatch):
    read = []
    hook = network.model.layers[0].register_forward_pre_hook(lambda _, args: read.append(tuple(args[0].shape[:2])))
    for knows in (True, False):
        monkeypatch.setattr(generate, "knows", lambda network, knows=knows: knows)
        draw(network, PROMPTS, 8, max_tokens=3, temperature=0.0, eos=frozenset({420}))
    hook.remove()
    own = sum(map(len, PROMPTS))
    assert read == [(1, own), (1, 32), (1, 32), (4, 12), (32, 1), (32, 1)]


@settings(max_examples=30, deadline=None)
@given(
    some.lists(some.lists(some.integers(0, 400), min_size=1, max_size=30), min_size=1, max_size=6),
    some.integers(1, 5), some.integers(1, 12), some.integers(2, 60), some.integers(0, 2**20),
)  # fmt: skip
def test_who_waits_and_who_comes_when_changes_no_token(network, prompts, n, places, often, seed):
    """Few places, so that rows leave and others come; against the plain way, with the same chance."""
    from training.engine import decoding

    options = {"max_tokens": 7, "temperature": 1.3, "eos": frozenset(range(0, 420, often))}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoding, "ROWS", places)
        patch.setattr(decoding, "ROOM", 3)
        patch.setattr(decoding, "READ", 20)
        ours = draw(network, prompts, n, generator=torch.Generator().manual_seed(seed), **options)
        patch.setattr(generate, "knows", lambda network: False)
        plain = draw(network, prompts, n, generator=torch.Generator().manual_seed(seed), **options)
    for mine, other in zip(sum(ours, []), sum(plain, []), strict=True):
        assert (mine.tokens, mine.ended) == (other.tokens, other.ended)
        assert mine.log_probs == pytest.approx(other.log_probs, abs=1e-4)


@pytest.mark.parametrize("half", [False, True])
def test_an_adapter_and_bf16_draw_what_a_plain_pass_says(network, way, half):
    """Greedy tokens are likeliest in a plain pass, as far as bf16 can tell."""
    import copy

    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    adapter = LoraConfig(target_modules=["q_proj", "down_proj"], init_lora_weights=False)
    policy = get_peft_model(copy.deepcopy(network), adapter).eval()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=half):
        groups = draw(policy, PROMPTS, 3, max_tokens=8, temperature=0.0, eos=EOS)
        for prompt, group in zip(PROMPTS, groups, strict=True):
            logits = policy(torch.tensor([prompt + group[0].tokens])).logits[0, len(prompt) - 1 : -1].float()
            chosen = logits.gather(1, torch.tensor(group[0].tokens)[:, None])[:, 0]
            assert (logits.amax(1) - chosen).max() <= (0.3 if half else 1e-4)
            assert half or group[0].tokens == group[1].tokens == group[2].tokens


def test_models_whose_values_have_another_size_than_their_keys_decode_with_their_own_cache():
    from transformers import DeepseekV3Config, DeepseekV3ForCausalLM

    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "vocab_size": 60, "q_lora_rank": 8}
    sizes |= {"num_attention_heads": 2, "num_key_value_heads": 2, "kv_lora_rank": 8, "first_k_dense_replace": 1}
    sizes |= {"qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 8}
    model = DeepseekV3ForCausalLM(DeepseekV3Config(**sizes)).eval()
    assert not generate.knows(model)
    (group,) = draw(model, [[5, 6, 7]], 2, max_tokens=3, temperature=0.0, eos=frozenset({59}))
    assert [len(one.tokens) for one in group] == [3, 3]


def test_a_word_is_drawn_by_its_share_of_the_vocabulary_wherever_it_stands():
    """Chance runs through the words in order: at each word's middle it finds that word, across blocks too."""
    logits = torch.randn(1, 1000, generator=torch.Generator().manual_seed(0)) * 2
    logits[0, ::3] = -torch.inf
    shares = logits[0].double().softmax(-1)
    words = shares.nonzero()[:, 0]
    middles = (shares.cumsum(0) - shares / 2)[words]
    tokens, log_probs = generate.pick(logits.expand(len(words), -1), middles, 1.0)
    assert tokens.tolist() == words.tolist()
    assert log_probs.tolist() == pytest.approx(shares[words].log().tolist(), abs=1e-5)


def test_the_same_chance_draws_the_same(network, way):
    drawn = [
        draw(network, PROMPTS, 3, max_tokens=5, temperature=1.0, eos=EOS, generator=torch.Generator().manual_seed(7))
        for _ in range(2)
    ]
    assert drawn[0] == drawn[1]


def test_a_policy_that_ends_at_once_and_one_that_never_does(network, way):
    every, none = frozenset(range(512)), frozenset({511})
    options = {"max_tokens": 4, "temperature": 1.0, "generator": torch.Generator().manual_seed(0)}
    assert {len(one.tokens) for group in draw(network, PROMPTS, 2, eos=every, **options) for one in group} == {1}
    endless = draw(network, PROMPTS[:2], 2, eos=none, **options | {"temperature": 0})
    assert {(len(one.tokens), one.ended) for group in endless for one in group} == {(4, False)}
