"""Drawing groups from a policy: the same tokens as transformers where chance has no part, for less."""

import pytest

from training.recipes.generate import Decoder, draw

torch = pytest.importorskip("torch")

PROMPTS = [[5, 6, 7, 8, 9, 10], [11, 12], [7, 7, 30, 31], [40] * 12]
EOS = frozenset({2})


@pytest.fixture(scope="module")
def network(base_model):
    from transformers import AutoModelForCausalLM

    torch.manual_seed(1)
    network = AutoModelForCausalLM.from_pretrained(base_model).eval()
    with torch.no_grad():
        network.lm_head.weight.mul_(5)  # likely and unlikely tokens, ends among them
    return network


def greedy(network, prompt, count):
    ids = torch.tensor([prompt])
    made = network.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=count, do_sample=False, eos_token_id=2, pad_token_id=0
    )[0, len(prompt) :].tolist()
    return made[: made.index(2) + 1] if 2 in made else made


def test_without_chance_it_says_what_transformers_says(network):
    groups = draw(network, PROMPTS, 2, max_tokens=12, temperature=0, eos=EOS)
    for prompt, group in zip(PROMPTS, groups, strict=True):
        assert [one.tokens for one in group] == [greedy(network, prompt, 12)] * 2


def test_log_probabilities_are_those_of_a_plain_pass_whoever_left_the_batch_before(network):
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


def test_tokens_come_as_often_as_the_policy_says(network):
    chance = torch.Generator().manual_seed(0)
    (group,) = draw(network, PROMPTS[:1], 4000, max_tokens=1, temperature=3.0, eos=EOS, generator=chance)
    with torch.no_grad():
        wanted = (network(torch.tensor(PROMPTS[:1])).logits[0, -1] / 3.0).softmax(-1)
    seen = torch.bincount(torch.tensor([one.tokens[0] for one in group]), minlength=len(wanted)) / 4000
    top = wanted.topk(8).indices
    assert (seen[top] - wanted[top]).abs().max() < 0.03


def test_a_prompt_is_read_once_for_its_whole_group(network, monkeypatch):
    read = []
    plain = Decoder.forward

    def forward(self, ids, mask, positions):
        read.append(tuple(ids.shape))
        return plain(self, ids, mask, positions)

    monkeypatch.setattr(Decoder, "forward", forward)
    draw(network, PROMPTS, 8, max_tokens=3, temperature=1.0, eos=EOS, generator=torch.Generator().manual_seed(0))
    assert read[0] == (4, 12) and read[1][1] == 1


def test_the_same_chance_draws_the_same(network):
    drawn = [
        draw(network, PROMPTS, 3, max_tokens=5, temperature=1.0, eos=EOS, generator=torch.Generator().manual_seed(7))
        for _ in range(2)
    ]
    assert drawn[0] == drawn[1]


def test_a_policy_that_ends_at_once_and_one_that_never_does(network):
    every, none = frozenset(range(512)), frozenset({511})
    options = {"max_tokens": 4, "temperature": 1.0, "generator": torch.Generator().manual_seed(0)}
    assert {len(one.tokens) for group in draw(network, PROMPTS, 2, eos=every, **options) for one in group} == {1}
    endless = draw(network, PROMPTS[:2], 2, eos=none, **options | {"temperature": 0})
    assert {(len(one.tokens), one.ended) for group in endless for one in group} == {(4, False)}
