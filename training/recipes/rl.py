"""The arithmetic of reinforcement learning on tokens: advantages, clipped losses, KL to a reference. Pure functions.

Tensors are [completions, tokens] in float32 unless said otherwise; `mask` is 1 on a completion's own tokens, the token
that ends it included, and 0 on the padding behind them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    return (values * mask).sum() / mask.sum().clamp(min=1)


def whiten(values: Tensor, mask: Tensor, shift_mean: bool = True) -> Tensor:
    """Scale to variance 1 over the mask; mean 0 as well, or the mean there was. Equal values become 0, not noise."""
    mean = masked_mean(values, mask)
    centred = (values - mean) * mask
    variance = (centred**2).sum() / (mask.sum() - 1).clamp(min=1)
    scaled = centred * (variance + 1e-8).rsqrt()
    return scaled if shift_mean else scaled + mean * mask


def kl(log_ratio: Tensor, estimator: str) -> Tensor:
    """An estimate of KL(π‖π_ref) from tokens drawn from π; `log_ratio` is log π − log π_ref of each.

    Schulman's k1 = log π/π_ref and k3 = π_ref/π − 1 + log π/π_ref both have the KL as their mean; k3 is never negative
    and varies less. Source: Schulman 2020, http://joschu.net/blog/kl-approx.html
    """
    if estimator == "k1":
        return log_ratio
    if estimator == "k2":  # biased, but its gradient is that of the KL
        return log_ratio**2 / 2
    return (-log_ratio).exp() - 1 + log_ratio


def gae(rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, lam: float) -> tuple[Tensor, Tensor]:
    """Generalised advantage estimates and the returns that the value head learns; no value follows the last token.

        δ_t = r_t + γ V(s_{t+1}) − V(s_t),    A_t = δ_t + γλ A_{t+1},    returns = A + V

    Source: Schulman et al. 2016, equation 16, https://arxiv.org/abs/1506.02438
    """
    advantages = values.new_zeros(values.shape)
    following, next_value = values.new_zeros(len(values)), values.new_zeros(len(values))
    for t in range(values.shape[1] - 1, -1, -1):
        delta = rewards[:, t] + gamma * next_value - values[:, t]
        following = (delta + gamma * lam * following) * mask[:, t]
        next_value = values[:, t] * mask[:, t]
        advantages[:, t] = following
    return advantages, (advantages + values) * mask


def policy_losses(
    log_probs: Tensor, old_log_probs: Tensor, advantages: Tensor, cliprange: float
) -> tuple[Tensor, Tensor, Tensor]:
    """PPO's clipped loss of each token, the ratio π/π_old, and whether clipping decided.

        loss = −min( ρ A, clip(ρ, 1 − ε, 1 + ε) A )

    Source: Schulman et al. 2017, equation 7, https://arxiv.org/abs/1707.06347
    """
    ratio = (log_probs - old_log_probs).exp()
    plain, clipped = -advantages * ratio, -advantages * ratio.clamp(1 - cliprange, 1 + cliprange)
    return plain.maximum(clipped), ratio, clipped > plain


def value_losses(values: Tensor, old_values: Tensor, returns: Tensor, cliprange: float) -> tuple[Tensor, Tensor]:
    """Half the squared error of each value, the worse of itself and of the value kept within ±cliprange of the old one;
    and whether clipping decided. A cliprange of 0 clips nothing."""
    plain = (values - returns) ** 2
    if not cliprange:
        return plain / 2, plain.new_zeros(plain.shape, dtype=bool)
    near = old_values + (values - old_values).clamp(-cliprange, cliprange)
    clipped = (near - returns) ** 2
    return plain.maximum(clipped) / 2, clipped > plain


def group_advantages(rewards: Tensor, size: int, scale: bool = False) -> Tensor:
    """How far above the mean of its group each reward is, [completions]; a group is `size` in a row.

    Equal rewards give 0 exactly: rounding in their mean, scaled up, would teach noise.

    Source: Shao et al. 2024 (GRPO), https://arxiv.org/abs/2402.03300; unscaled: Liu et al. 2025 (Dr. GRPO)
    """
    groups = rewards.view(-1, size)
    spread = groups.amax(1, keepdim=True) > groups.amin(1, keepdim=True)
    centred = (groups - groups.mean(1, keepdim=True)) * spread
    if scale:
        centred = centred / (groups.std(1, keepdim=True) + 1e-4)
    return centred.flatten()


def explained_variance(values: Tensor, returns: Tensor, mask: Tensor) -> float:
    """1: the value head foretells the returns; 0: no better than their mean; below: worse."""
    there = mask.bool()
    values, returns = values[there], returns[there]
    spread = returns.var(correction=0) if len(returns) else returns.sum()
    return float(1 - (returns - values).var(correction=0) / spread) if spread > 0 else 0.0


@dataclass
class KLController:
    """kl_coef, held fixed, or drawn towards the KL that is wanted (Ziegler et al. 2019, section 2.2).

    >>> controller = KLController(0.1, target=6.0, horizon=10_000)
    >>> controller.update(12.0, completions=64); round(controller.coef, 6)
    0.100128
    """

    coef: float
    target: float | None = None  # None: fixed
    horizon: int = 10_000  # completions in which the coefficient can about double

    def update(self, kl: float, completions: int) -> None:
        """After a rollout whose completions had this KL on average, summed over their tokens."""
        if self.target:
            error = max(-0.2, min(0.2, kl / self.target - 1))
            self.coef *= 1 + error * completions / self.horizon


@dataclass
class Running:
    """Mean and variance of every score there was (Chan's parallel algorithm), to bring rewards to one scale."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0  # summed, around the mean

    def add(self, scores: list[float]) -> None:
        """
        >>> seen = Running(); seen.add([1.0, 2.0]); seen.add([3.0, 6.0]); (seen.mean, round(seen.std ** 2, 6))
        (3.0, 4.666667)
        """
        if not scores:
            return
        mean = sum(scores) / len(scores)
        gap, total = mean - self.mean, self.count + len(scores)
        self.squares += sum((score - mean) ** 2 for score in scores) + gap**2 * self.count * len(scores) / total
        self.mean += gap * len(scores) / total
        self.count = total

    @property
    def std(self) -> float:
        return (self.squares / (self.count - 1)) ** 0.5 if self.count > 1 else 0.0
