"""The language-model head for training on a CPU: log-probabilities of the completion's tokens only, a few at a time.

TRL's own fused head scores the prompt and the padding too where there is no GPU, and falls back to fp32 products.
This one gives the same numbers (a test compares them) at a fraction of the time.
"""

import functools
from collections.abc import Iterator
from typing import Any

from training.engine import table
from training.engine.attention import joined

CHUNK = 256  # tokens scored at once: 50 MB of logits for 49,152 words
TOGETHER = 4  # chunks whose share of a learning head's gradient is computed at once in half precision


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
    log p(target), entropy of p, mean logit, and whether no token is likelier than the target. Only the first has a
    gradient."""
    return scorer().apply(hidden, weight, targets)


@functools.cache
def scorer() -> Any:
    """An autograd function that never holds the logits of more than CHUNK tokens.

    d log p(y) / d hidden = W_y − Σ_v p_v W_v is known as soon as p is, so for a head that does not learn the forward
    pass keeps that [N, H], and the backward pass only scales it. A head that learns needs p itself for its own
    gradient: its logits are computed a second time, and the gradients of all chunks are added up in one [V, H], which
    is the weight's `grad` itself where that is ours (training.engine.table).
    """
    import torch

    class ScoreTokens(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, hidden: Any, weight: Any, targets: Any) -> tuple[Any, Any, Any, Any]:
            device = hidden.device.type
            ctx.kind = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden.dtype
            ctx.types, ctx.learns = (hidden.dtype, weight.dtype), weight.requires_grad
            ctx.table = weight if table.is_ours(weight) else None
            states, words = hidden.to(ctx.kind), weight.to(ctx.kind)
            found = [hidden.new_zeros(len(hidden), dtype=torch.float32) for _ in range(4)]
            log_probs, entropy, mean_logits, log_z = found
            is_top1 = torch.zeros(len(hidden), dtype=torch.bool, device=hidden.device)
            slope = torch.empty_like(hidden) if hidden.requires_grad and not ctx.learns else None
            for part in chunks(len(hidden)):
                logits = (states[part] @ words.t()).float()
                chosen, peak = logits.gather(-1, targets[part, None])[:, 0], logits.amax(-1)
                mean_logits[part], is_top1[part] = logits.mean(-1), chosen == peak
                p = logits.sub(peak[:, None]).exp_()
                total = p.sum(-1)
                log_z[part] = peak + total.log()
                log_probs[part] = chosen - log_z[part]
                entropy[part] = log_z[part] - logits.mul_(p).sum(-1) / total
                if slope is not None:
                    mean = (p.to(ctx.kind) @ words).float() / total[:, None]
                    slope[part] = (words[targets[part]].float() - mean).to(hidden.dtype)
            ctx.save_for_backward(*((states, words, targets, log_z) if ctx.learns else (slope,)))
            ctx.mark_non_differentiable(entropy, mean_logits, is_top1)
            return log_probs, entropy, mean_logits, is_top1

        @staticmethod
        def backward(ctx: Any, upstream: Any, *_: Any) -> tuple[Any, Any, None]:
            if not ctx.learns:
                (slope,) = ctx.saved_tensors
                return (upstream[:, None] * slope).to(slope.dtype), None, None
            states, words, targets, log_z = ctx.saved_tensors
            of_states, of_words = torch.empty_like(states), ctx.table.grad if ctx.table is not None else None
            for block in chunks(len(states), CHUNK if ctx.kind == torch.float32 else CHUNK * TOGETHER):
                known = [part[block].split(CHUNK) for part in (states, targets, log_z, upstream)]
                wrong = joined([errors(words, *some) for some in zip(*known, strict=True)], dim=0)
                of_states[block] = wrong @ words
                of_words = added(of_words, wrong.t(), states[block])
            of_states = of_states.to(ctx.types[0])
            if ctx.table is not None:
                ctx.table.grad = of_words
                return of_states, None, None
            of_words = torch.zeros_like(words) if of_words is None else of_words
            return of_states, of_words.to(ctx.types[1]), None

    return ScoreTokens


def errors(words: Any, states: Any, targets: Any, log_z: Any, upstream: Any) -> Any:
    """d loss / d logits, [tokens, V]: upstream · (1 − p) at a target, −upstream · p everywhere else."""
    logits = (states @ words.t()).float()
    wrong = logits.sub_(log_z[:, None]).exp_().mul_(-upstream[:, None])
    return wrong.scatter_add_(1, targets[:, None], upstream[:, None]).to(states.dtype)


def added(total: Any, left: Any, right: Any) -> Any:
    """`total` in fp32, if there is one yet, plus left @ right: it is large, and every pass over it takes long."""
    import torch

    if total is None:
        return (left @ right).float()
    return total.addmm_(left, right) if left.dtype == torch.float32 else total.add_(left @ right)


def chunks(count: int, size: int = 0) -> Iterator[slice]:
    return (slice(at, at + (size or CHUNK)) for at in range(0, count, size or CHUNK))
