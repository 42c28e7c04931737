"""A world of one token, in which the optimum is known: where do PPO, RLOO, GRPO and DPO lead, and is it there?

The KL-regularised objective E[r(y)] − β KL(π‖π_ref) is maximal at π*(y) ∝ π_ref(y) exp(r(y)/β): the equation on which
RLHF and the derivation of DPO rest. The policy answers one prompt with one of six tokens, so all of it can be summed.
"""

import pytest

from tests.training.recipes.conftest import train_here

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.training
WORDS = "abcde"  # and the end of text: six tokens
REWARDS = torch.tensor([0.0, 1.0, 0.5, -0.5, 0.2, 0.8])  # of the end, a, b, c, d, e
BETA, GROUP = 0.5, 128
CLOSE = 0.02  # total variation
TEXT = "; ".join(f"regex {REWARDS[at + 1]:g} pattern=^{word}$" for at, word in enumerate(WORDS))
SETTINGS = {
    "lora": False,
    "warmup_ratio": 0.0,
    "lr_scheduler_type": "linear",
    "eval_on_start": False,
    "sample_every": 0,
}
DRAWN = SETTINGS | {"rewards": TEXT, "max_completion_length": 1, "max_length": 16, "num_generations": GROUP}
DRAWN |= {"per_device_train_batch_size": GROUP, "gradient_accumulation_steps": 1}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A model whose vocabulary is six tokens, one of which ends a text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("world")
    vocabulary = {word: at for at, word in enumerate(["<|end|>", *WORDS])}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token="a"))
    core.pre_tokenizer, core.decoder = pre_tokenizers.Split("", "isolated"), decoders.Fuse()
    words = PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token="<|end|>", pad_token="<|end|>", model_max_length=16
    )
    words.chat_template = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    shape = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    ids = {"eos_token_id": 0, "pad_token_id": 0, "bos_token_id": None, "initializer_range": 0.3}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        config = LlamaConfig(vocab_size=6, max_position_embeddings=16, tie_word_embeddings=False, **shape, **ids)
        LlamaForCausalLM(config).save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def answers(folder):
    """The probability of each token as the answer."""
    from transformers import AutoModelForCausalLM

    with torch.no_grad():
        return AutoModelForCausalLM.from_pretrained(folder)(torch.tensor([[1]])).logits[0, -1].softmax(-1)


def optimum(reference, beta):
    """π*(y) ∝ π_ref(y) exp(r(y)/β)."""
    return (reference.log() + REWARDS / beta).softmax(0)


def forward_optimum(reference, beta):
    """Where E[r] − β KL(π_ref‖π) is maximal: π(y) = β π_ref(y) / (λ − r(y)), with λ such that it sums to 1."""
    low, high = REWARDS.max().item(), REWARDS.max().item() + 100.0
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if (beta * reference / (middle - REWARDS)).sum() > 1 else (low, middle)
    return beta * reference / (low - REWARDS)


def distance(p, q):
    return 0.5 * (p - q).abs().sum().item()


@pytest.fixture
def trained(make_run, world):
    def train(name, rows=None, **settings):
        prompt = {"prompt": [{"role": "user", "content": "a"}]}
        run_dir = make_run(name, rows or [prompt], [], model=world, **settings)
        assert train_here(run_dir)["status"] == "succeeded"
        return answers(run_dir / "model")

    return train


def test_the_optima_differ_enough_to_tell(world):
    reference = answers(world)
    assert reference.min() > 0.02
    places = [reference, optimum(reference, BETA), forward_optimum(reference, BETA)]
    assert all(distance(p, q) > 4 * CLOSE for at, p in enumerate(places) for q in places[:at])


@pytest.mark.parametrize("value_model", ["head", "own"])
def test_ppo_goes_to_the_optimum(trained, world, value_model):
    settings = PPO | {"value_model": value_model}
    policy = trained("ppo", max_steps=60, learning_rate=0.02, kl_coef=BETA, num_ppo_epochs=1, **settings)
    assert distance(policy, optimum(answers(world), BETA)) <= CLOSE


PPO = DRAWN | {"whiten_advantages": False, "cliprange_value": 0.0, "vf_coef": 0.5}


def test_ppo_goes_there_with_every_other_setting_that_should_not_matter(trained, world):
    policy = trained(
        "ppo",
        max_steps=40,
        learning_rate=0.02,
        kl_coef=BETA,
        num_ppo_epochs=2,
        num_mini_batches=2,
        lam=0.5,
        **PPO | {"detach_value_head": True},
    )
    assert distance(policy, optimum(answers(world), BETA)) <= CLOSE


def test_ppo_with_k3_as_a_reward_does_not(trained, world):
    policy = trained("ppo", max_steps=60, learning_rate=0.02, kl_coef=BETA, num_ppo_epochs=1, kl_estimator="k3", **PPO)
    assert distance(policy, optimum(answers(world), BETA)) > 2 * CLOSE


def test_rloo_goes_to_the_optimum(trained, world):
    policy = trained("rloo", max_steps=60, learning_rate=0.02, beta=BETA, **DRAWN)
    assert distance(policy, optimum(answers(world), BETA)) <= CLOSE


GRPO = DRAWN | {"scale_rewards": "none", "beta": BETA, "max_steps": 80, "learning_rate": 0.02}
COUNTED_IN = GROUP / (GROUP - 1)  # a mean that counts the completion itself: beta acts as beta · G/(G−1)


def test_grpo_with_the_corrected_kl_goes_to_the_optimum(trained, world):
    policy = trained("grpo", use_bias_correction_kl=True, **GRPO)
    assert distance(policy, optimum(answers(world), BETA * COUNTED_IN)) <= CLOSE


def test_grpo_as_it_is_published_follows_the_forward_kl(trained, world):
    policy, reference = trained("grpo", **GRPO), answers(world)
    assert distance(policy, forward_optimum(reference, BETA * COUNTED_IN)) <= CLOSE
    assert distance(policy, optimum(reference, BETA)) > 2 * CLOSE


def test_dpo_on_preferences_drawn_from_the_reward_goes_to_the_optimum(trained, world):
    """Of every two answers, as often the one as Bradley and Terry say: P(y ≻ y') = σ(r(y) − r(y'))."""
    spoken = list(range(1, 6))
    rows = []
    for one in spoken:
        for other in spoken:
            count = round(40 * torch.sigmoid(REWARDS[one] - REWARDS[other]).item()) if one != other else 0
            rows += [pair(WORDS[one - 1], WORDS[other - 1])] * count
    settings = {"beta": BETA, "max_steps": 70, "learning_rate": 0.03, "per_device_train_batch_size": len(rows)}
    policy, star = trained("dpo", rows, **SETTINGS | settings), optimum(answers(world), BETA)
    # The pairs compare five of the six answers; among these the policy must be π*.
    assert distance(policy[1:] / policy[1:].sum(), star[1:] / star[1:].sum()) <= CLOSE


def pair(chosen, rejected):
    sides = {
        "chosen": [{"role": "assistant", "content": chosen}],
        "rejected": [{"role": "assistant", "content": rejected}],
    }
    return {"prompt": [{"role": "user", "content": "a"}]} | sides
