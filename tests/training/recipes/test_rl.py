"""The arithmetic of reinforcement learning, against definitions written out and exact sums."""

import pytest

from training.recipes import rl

torch = pytest.importorskip("torch")

LENGTHS = (7, 1, 4)


@pytest.fixture
def chance():
    return torch.Generator().manual_seed(0)


@pytest.fixture
def mask():
    return torch.tensor([[float(t < length) for t in range(7)] for length in LENGTHS])


@pytest.mark.parametrize(("gamma", "lam"), [(1.0, 0.95), (0.9, 0.8), (1.0, 1.0), (0.7, 0.0)])
def test_advantages_are_the_sums_they_are_defined_as(chance, mask, gamma, lam):
    rewards, values = (torch.randn(3, 7, generator=chance) * mask for _ in range(2))
    advantages, returns = rl.gae(rewards, values, mask, gamma, lam)
    for row, length in enumerate(LENGTHS):
        r, v = rewards[row].tolist(), [*values[row, :length].tolist(), 0.0]
        deltas = [r[t] + gamma * v[t + 1] - v[t] for t in range(length)]
        for t in range(length):
            wanted = sum((gamma * lam) ** k * deltas[t + k] for k in range(length - t))
            assert advantages[row, t].item() == pytest.approx(wanted, abs=1e-5)
            assert returns[row, t].item() == pytest.approx(wanted + v[t], abs=1e-5)
    assert (advantages * (1 - mask)).abs().sum() == 0 and (returns * (1 - mask)).abs().sum() == 0


def test_what_stands_behind_a_completion_never_changes_its_advantages(chance, mask):
    rewards, values = torch.randn(3, 7, generator=chance), torch.randn(3, 7, generator=chance)
    whole, _ = rl.gae(rewards * mask, values * mask, mask, 1.0, 0.95)
    noisy, _ = rl.gae(rewards * mask, values, mask, 1.0, 0.95)
    assert torch.equal(whole * mask, noisy * mask)


@pytest.mark.parametrize("estimator", ["k1", "k3"])
def test_an_estimate_has_the_exact_divergence_as_its_mean(chance, estimator):
    policy, reference = (torch.randn(9, generator=chance).log_softmax(0) for _ in range(2))
    exact = (policy.exp() * (policy - reference)).sum()
    mean = (policy.exp() * rl.kl(policy - reference, estimator)).sum()
    assert mean.item() == pytest.approx(exact.item(), rel=1e-5)


def test_k3_is_never_negative_and_varies_less_than_k1(chance):
    reference = torch.randn(9, generator=chance).log_softmax(0)
    policy = (reference + 0.3 * torch.randn(9, generator=chance)).log_softmax(0)
    drawn = torch.multinomial(policy.exp(), 4000, replacement=True, generator=chance)
    k1, k3 = (rl.kl((policy - reference)[drawn], name) for name in ("k1", "k3"))
    assert k3.min() >= 0 and k3.std() < k1.std() / 2


def test_where_the_gradient_of_each_estimate_leads(chance):
    """As a reward, k1 follows the reverse KL, k3 the difference of both; differentiated, k3 follows the forward one."""
    logits, reference = torch.randn(6, generator=chance), torch.randn(6, generator=chance).log_softmax(0)

    def gradient(of):
        x = logits.clone().requires_grad_()
        of(x.log_softmax(0)).backward()
        return x.grad

    reverse = gradient(lambda policy: (policy.exp() * (policy - reference)).sum())
    forward = gradient(lambda policy: (reference.exp() * (reference - policy)).sum())
    weights = logits.softmax(0)

    def as_reward(name):
        return gradient(lambda policy: (weights * policy * rl.kl((policy - reference).detach(), name)).sum())

    differentiated = gradient(lambda policy: (weights * rl.kl(policy - reference, "k3")).sum())
    corrected = gradient(
        lambda policy: (weights * (policy - policy.detach()).exp() * rl.kl(policy - reference, "k3")).sum()
    )
    k2 = gradient(lambda policy: (weights * rl.kl(policy - reference, "k2")).sum())
    assert torch.allclose(as_reward("k1"), reverse, atol=1e-6)
    assert torch.allclose(as_reward("k3"), reverse - forward, atol=1e-6)
    assert torch.allclose(differentiated, forward, atol=1e-6)
    assert torch.allclose(corrected, reverse, atol=1e-6)
    assert torch.allclose(k2, reverse, atol=1e-6)


def test_advantages_of_a_group_sum_to_zero_and_equal_rewards_have_none(chance):
    rewards = torch.cat([torch.randn(8, generator=chance), torch.full((8,), 0.1)])
    for scale in (False, True):
        advantages = rl.group_advantages(rewards, 8, scale).view(2, 8)
        assert advantages.sum(1).abs().max() < 1e-5
        assert advantages[1].abs().max() == 0  # not even rounding


def test_clipping_stops_what_went_far_enough_and_never_what_must_come_back():
    old = torch.zeros(1, 4)
    moved = torch.tensor([[1.5, 0.5, 1.5, 0.5]]).log().requires_grad_()
    losses, ratio, clipped = rl.policy_losses(moved, old, torch.tensor([[1.0, -1.0, -1.0, 1.0]]), 0.2)
    losses.sum().backward()
    assert clipped.tolist() == [[True, True, False, False]]
    assert (moved.grad != 0).tolist() == [[False, False, True, True]]
    assert ratio.tolist()[0] == pytest.approx([1.5, 0.5, 1.5, 0.5])


def test_values_are_clipped_to_the_worse_of_both():
    values, old, returns = torch.tensor([[2.0, 0.1]]), torch.zeros(1, 2), torch.tensor([[2.0, 1.0]])
    losses, clipped = rl.value_losses(values, old, returns, 0.2)
    assert losses[0].tolist() == pytest.approx([(0.2 - 2.0) ** 2 / 2, 0.9**2 / 2])
    assert clipped.tolist() == [[True, False]]
    plain, clipped = rl.value_losses(values, old, returns, 0)
    assert plain[0].tolist() == pytest.approx([0.0, 0.9**2 / 2]) and not clipped.any()


def test_whitening_looks_at_the_mask_only_and_leaves_equal_values_alone(chance, mask):
    values = torch.randn(3, 7, generator=chance) * 5 + 3
    white = rl.whiten(values, mask)
    inside = white[mask.bool()]
    assert inside.mean().abs() < 1e-6 and inside.std().item() == pytest.approx(1, abs=1e-4)
    assert (white * (1 - mask)).abs().sum() == 0
    assert rl.whiten(torch.full((3, 7), 0.1), mask).abs().max() < 1e-3
    kept = rl.whiten(values, mask, shift_mean=False)[mask.bool()]
    assert kept.mean().item() == pytest.approx(values[mask.bool()].mean().item(), abs=1e-4)


def test_kl_coef_rises_where_kl_is_too_high_and_falls_where_it_is_too_low():
    controller = rl.KLController(0.1, target=2.0, horizon=100)
    controller.update(8.0, completions=10)
    assert controller.coef == pytest.approx(0.1 * 1.02)
    controller.update(0.0, completions=10)
    assert controller.coef == pytest.approx(0.1 * 1.02 * 0.98)
    fixed = rl.KLController(0.1)
    fixed.update(80.0, completions=10)
    assert fixed.coef == 0.1


def test_explained_variance_is_one_for_a_perfect_foresight_and_zero_for_none(chance, mask):
    returns = torch.randn(3, 7, generator=chance)
    assert rl.explained_variance(returns, returns, mask) == pytest.approx(1)
    assert rl.explained_variance(torch.zeros(3, 7), returns, mask) == pytest.approx(0)
    assert rl.explained_variance(torch.zeros(3, 7), torch.ones(3, 7), mask) == 0
