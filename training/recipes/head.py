"""The language-model head for training on a CPU: log-probabilities of the completion's tokens only, a few at a time.

TRL's own fused head scores the prompt and the padding too where there is no GPU, and falls back to fp32 products.
This one gives the same numbers (a test compares them) at a fraction of the time.
"""

import functools
from typing import Any

CHUNK = 256  # tokens scored at once: 50 MB of logits for 49,152 words


def is_plain(model: Any) -> bool:
    """Whether logits are hidden @ weight.T and nothing else; other heads are left to TRL."""
    config, head = model.config.get_text_config(), model.get_output_embeddings()
    extras = ("final_logit_softcapping", "logit_scale", "logits_scaling", "output_multiplier", "lm_head_multiplier")
    plain = not any(getattr(config, name, None) for name in (*extras, "output_router_logits"))
    return plain and head is not None and getattr(head, "bias", None) is None


def use_compact_head(model: Any, temperature: float = 1.0) -> None:
    """Replace, on `model` (a causal model TRL gave its fused head), what answers to `fused_lm_head=True`.

    Its log-probabilities are of softmax(logits / temperature).
    """
    from trl.trainer.utils import FusedCausalLMOutput

    original = model.forward

    @functools.wraps(original)  # generate checks its arguments against this signature
    def forward(
        *args: Any, fused_lm_head: bool = False, labels: Any = None, num_items_in_batch: Any = None, **kwargs: Any
    ) -> Any:
        if not fused_lm_head:
            return original(*args, **kwargs) if labels is None else original(*args, labels=labels, **kwargs)
        hidden = model.base_model(*args, **kwargs | {"use_cache": False}).last_hidden_state[:, :-1]
        labels, head = labels[:, 1:], model.get_output_embeddings()
        mask = labels != -100
        scored = score_tokens(hidden[mask] / temperature, head.weight, labels[mask])
        log_probs, entropy, mean_logits, is_top1 = (spread(values, mask) for values in scored)
        loss = -log_probs.sum() / (mask.sum().clamp(min=1) if num_items_in_batch is None else num_items_in_batch)
        return FusedCausalLMOutput(
            loss=loss, log_probs=log_probs, entropy=entropy, mean_logits=mean_logits, is_top1=is_top1, label_mask=mask
        )

    model.forward = forward


def spread(values: Any, mask: Any) -> Any:
    """Put one value a scored token back at its place in the batch; zero elsewhere."""
    return values.new_zeros(mask.shape).masked_scatter(mask, values)


def score_tokens(hidden: Any, weight: Any, targets: Any) -> tuple[Any, Any, Any, Any]:
    """For hidden states [N, H], head weight [V, H] and targets [N], four vectors of N:
    log p(target), entropy of p, mean logit, and whether the target is the likeliest token."""
    import torch

    parts = [
        score_chunk(hidden[at : at + CHUNK], weight, targets[at : at + CHUNK]) for at in range(0, len(hidden), CHUNK)
    ]
    with torch.no_grad():
        mean_logits = hidden.float() @ weight.float().mean(0)
    log_probs, entropy, is_top1 = (torch.cat(column) for column in zip(*parts, strict=True))
    return log_probs, entropy, mean_logits, is_top1


def score_chunk(hidden: Any, weight: Any, targets: Any) -> tuple[Any, Any, Any]:
    import torch

    if weight.requires_grad and torch.is_grad_enabled():
        from torch.utils.checkpoint import checkpoint

        return checkpoint(score_learning_head, hidden, weight, targets, use_reentrant=False)
    return frozen_head().apply(hidden, weight, targets)


def score_learning_head(hidden: Any, weight: Any, targets: Any) -> tuple[Any, Any, Any]:
    """The plain definition; autograd finds the gradient of the head as well."""
    import torch

    logits = (hidden @ weight.t()).float()
    log_z = torch.logsumexp(logits, -1)
    with torch.no_grad():
        p = torch.exp(logits - log_z[:, None])
        entropy, is_top1 = log_z - (p * logits).sum(-1), logits.argmax(-1) == targets
    return logits.gather(-1, targets[:, None])[:, 0] - log_z, entropy, is_top1


def frozen_head() -> Any:
    """An autograd function for a head that does not learn. d log p(y) / d hidden = W_y − Σ_v p_v W_v is known as
    soon as p is, so the forward pass keeps that [N, H] in place of the logits, and backward only scales it."""
    global _FROZEN_HEAD
    if _FROZEN_HEAD is None:
        _FROZEN_HEAD = make_frozen_head()
    return _FROZEN_HEAD


_FROZEN_HEAD: Any = None


def make_frozen_head() -> Any:
    import torch

    class FrozenHead(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, hidden: Any, weight: Any, targets: Any) -> tuple[Any, Any, Any]:
            kind = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else hidden.dtype
            weight, hidden_kind = weight.to(kind), hidden.dtype
            logits = (hidden.to(kind) @ weight.t()).float()
            chosen, is_top1 = logits.gather(-1, targets[:, None])[:, 0], logits.argmax(-1) == targets
            log_z = torch.logsumexp(logits, -1)
            p = torch.exp(logits - log_z[:, None])
            entropy = log_z - (p * logits).sum(-1)
            if hidden.requires_grad:
                ctx.save_for_backward((weight[targets].float() - (p.to(kind) @ weight).float()).to(hidden_kind))
            ctx.mark_non_differentiable(entropy, is_top1)
            return chosen - log_z, entropy, is_top1

        @staticmethod
        def backward(ctx: Any, upstream: Any, *_: Any) -> tuple[Any, None, None]:
            (slope,) = ctx.saved_tensors
            return (upstream[:, None] * slope).to(slope.dtype), None, None

    return FrozenHead
