"""A value model of its own beside a policy: what it foretells of the return at each token, and where all was said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from training.recipes import weights

if TYPE_CHECKING:
    from torch import Tensor


class Critic:
    """A scorer that learns. It begins as the first reward model among the rewards that reads the policy's tokens, whose
    score it foretells from what was said so far; where there is none, as the base model with a head at zero."""

    def __init__(self, session: Any, autocast: Any, recompute: bool) -> None:
        self.autocast, self.recompute = autocast, recompute
        start, scale = beginning(session)
        network = weights.load_scorer(start, session.dtype, session.tokenizer.pad_token_id)
        network.score.weight.data *= scale
        if adapter := session.adapter(network, "SEQ_CLS", modules_to_save=["score"]):
            from peft import get_peft_model

            network = get_peft_model(network, adapter)
        for parameter in (one for one in network.parameters() if one.requires_grad):
            parameter.data = parameter.data.float()
        self.network = network.to(session.machine.device).eval()
        self.core = weights.core_of(network)
        session.share_prompts(self.core)
        if recompute:
            network.gradient_checkpointing_enable({"use_reentrant": False})
            network.enable_input_require_grads()

    def say(self, prompts: Sequence[list[int]], completions: Sequence[list[int]]) -> Tensor:
        """Values before each token of the completions and behind the last, [completions, tokens + 1]."""
        import torch

        from training.recipes.actor_critic import aligned, hidden_states, padded

        ids, attention, mask = padded(prompts, completions, self.network.device)
        mask[:, :-1] |= mask[:, 1:].clone()  # the prompt's last token foretells the whole
        self.network.train(self.recompute and torch.is_grad_enabled())
        with self.autocast():
            hidden = hidden_states(self.core, ids, attention)[mask]
        self.network.eval()
        return aligned(self.core.score(hidden.float())[:, 0], completions, beyond=1)

    def look(self, prompts: Sequence[list[int]], completions: Sequence[list[int]]) -> Tensor:
        """The same without gradients, in batches of alike lengths."""
        from training.recipes.actor_critic import Said, in_batches

        return in_batches(prompts, completions, lambda *rows: Said(values=self.say(*rows)), beyond=1).values


def beginning(session: Any) -> tuple[str, float]:
    """The folder of the scorer to begin as, and what its scores count among the rewards."""
    from training import rewards

    for part in rewards.parse(session.config.rewards):
        folder = session.run.models.get(part.argument) if part.name == "reward_model" else None
        if folder and weights.load_tokenizer(folder).get_vocab() == session.tokenizer.get_vocab():
            return folder, part.weight
    return session.run.base_model, 1.0
