"""A policy with a value head and the reference it must stay near: what each says of the tokens of completions."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.recipes import head, trunk, weights
from training.recipes.critic import Critic
from training.recipes.steps import length_batches

if TYPE_CHECKING:
    from torch import Tensor

    from training.recipes.generate import Drawn

LOOK_TOKENS = 8192  # tokens in one forward pass where nothing is kept for a backward pass
VALUE_FOLDER = "value_head"  # of a saved model, beside its weights


@dataclass
class Said:
    """About completions padded on the right, each [completions, tokens], 0 behind their ends. Values of a value model
    of its own have a place more, behind the last token."""

    log_probs: Tensor | None = None
    entropy: Tensor | None = None
    values: Tensor | None = None


class ActorCritic:
    """The policy, its value head on the policy's last hidden states or a critic of its own, and ref_model: the policy
    without its adapter, or a copy of it as it was. Log-probabilities are of softmax(logits / temperature), as
    completions were drawn."""

    def __init__(
        self, session: Any, detach_value: bool = True, with_entropy: bool = False, own_critic: bool = False
    ) -> None:
        import torch

        from training.server.loading import end_tokens

        torch.manual_seed(session.config.seed)  # an adapter begins at random
        self.session, config = session, session.config
        self.temperature, self.detach_value, self.with_entropy = config.temperature, detach_value, with_entropy
        self.policy = weights.load_policy(session.run.base_model, session.dtype)
        self.ref_model = None
        if adapter := session.adapter(self.policy, "CAUSAL_LM"):
            from peft import get_peft_model

            self.policy = get_peft_model(self.policy, adapter)
        else:
            self.ref_model = weights.load_policy(session.run.ref_model or session.run.base_model, session.dtype)
            self.ref_model.requires_grad_(False).eval().to(session.machine.device)
            session.share_prompts(self.ref_model)
        for parameter in self.learning(self.policy):
            parameter.data = parameter.data.float()
        for layer in self.policy.modules():
            if type(layer).__name__ == "Dropout":
                layer.p = 0.0  # else π and π_old differ by chance
        self.policy.to(session.machine.device).eval()
        self.recompute = session.gradient_checkpointing()
        self.core = weights.core_of(self.policy)
        self.plain = head.is_plain(self.core)
        session.share_prompts(self.core)
        self.ends = end_tokens(self.core, session.tokenizer)
        if self.recompute:
            self.policy.gradient_checkpointing_enable({"use_reentrant": False})
            self.policy.enable_input_require_grads()
        self.trunk = self.remember_frozen_layers()
        self.critic = Critic(session, self.autocast, self.recompute) if own_critic else None
        width = self.core.config.get_text_config().hidden_size
        self.value_head = None if own_critic else make_value_head(width, session)

    def remember_frozen_layers(self) -> Any | None:
        """On a CPU, layers below the adapter see each completion once: what reference and learning start from."""
        depth = trunk.frozen_depth(self.core)
        if self.session.machine.device != "cpu" or self.ref_model is not None or self.recompute or not depth:
            return None
        found = trunk.Trunk(self.core.base_model, depth)
        found.install()
        self.session.saves.append(trunk.SAVES.format(depth))
        return found

    def forget(self) -> None:
        """The completions of the last rollout do not come again."""
        if self.trunk:
            self.trunk.rows.clear()

    @staticmethod
    def learning(module: Any) -> list[Any]:
        return [parameter for parameter in module.parameters() if parameter.requires_grad]

    @property
    def parameters(self) -> list[Any]:
        return list(self.named_parameters().values())

    def named_parameters(self) -> dict[str, Any]:
        """Everything that learns, by name: what a checkpoint holds."""
        values = {"value_model": self.critic.network} if self.critic else {"value_head": self.value_head}
        return {
            f"{part}.{name}": parameter
            for part, module in ({"policy": self.policy} | values).items()
            for name, parameter in module.named_parameters()
            if parameter.requires_grad
        }

    def autocast(self) -> Any:
        import torch

        half = self.session.machine.precision == "bf16"
        return torch.autocast(self.session.machine.device, torch.bfloat16) if half else nullcontext()

    def say(self, prompts: Sequence[list[int]], completions: Sequence[list[int]]) -> Said:
        """Log-probabilities, entropies and, with a value head, values of the completions' tokens, after one forward
        pass over all rows."""
        import torch

        ids, attention, mask = padded(prompts, completions, self.policy.device)
        self.policy.train(self.recompute and torch.is_grad_enabled())  # transformers recomputes in training mode only
        with self.autocast():
            hidden = hidden_states(self.core, ids, attention)
            quick = self.plain and not (self.with_entropy and torch.is_grad_enabled())
            found = read(self.core, hidden, ids, mask, self.temperature, quick)
            if self.value_head:
                states = hidden[:, :-1][mask[:, 1:]].float()
                found += (self.value_head(states.detach() if self.detach_value else states)[:, 0].float(),)
        self.policy.eval()
        return Said(*(aligned(part, completions) for part in found))

    def look(self, prompts: Sequence[list[int]], completions: Sequence[list[int]]) -> Said:
        """The same without gradients, in batches of alike lengths."""
        return in_batches(prompts, completions, self.say)

    def reference(self, prompts: Sequence[list[int]], completions: Sequence[list[int]]) -> Tensor:
        """log π_ref of the completions' tokens."""
        aside = self.policy.disable_adapter() if self.ref_model is None else nullcontext()
        with aside, self.autocast():
            return log_probs(self.ref_model or self.core, prompts, completions, self.temperature)

    def recall(self, prompts: Sequence[list[int]], drawn: Sequence[Drawn]) -> Said:
        """What the policy said of these completions as it drew them. In fp32 a second look would find the same, but
        for rounding; in bf16 rounding is too coarse for that, and it looks."""
        import torch

        completions, kinds = [one.tokens for one in drawn], ["log_probs", "values"][: 2 if self.value_head else 1]
        if self.session.machine.precision != "fp32" or any(getattr(one, kinds[-1]) is None for one in drawn):
            return self.look(prompts, completions)
        found = {}
        for kind in kinds:
            numbers = [number for one in drawn for number in getattr(one, kind)]
            found[kind] = aligned(torch.tensor(numbers, device=self.policy.device), completions)
        return Said(**found)

    def divergence(self, prompts: Sequence[list[int]], drawn: Sequence[Drawn]) -> list[float]:
        """log π − log π_ref of each completion, in nats: its mean over what the policy drew is the KL."""
        completions = [one.tokens for one in drawn]
        return (self.recall(prompts, drawn).log_probs - self.reference(prompts, completions)).sum(1).tolist()


def log_probs(model: Any, prompts: Sequence[list[int]], completions: Sequence[list[int]], temperature: float) -> Tensor:
    """Of the completions' tokens by a causal model, [completions, tokens], without gradients."""

    def say(prompts: Sequence[list[int]], completions: Sequence[list[int]]) -> Said:
        ids, attention, mask = padded(prompts, completions, model.device)
        found = read(model, hidden_states(model, ids, attention), ids, mask, temperature, head.is_plain(model))
        return Said(aligned(found[0], completions))

    return in_batches(prompts, completions, say).log_probs


def in_batches(prompts: Sequence[list[int]], completions: Sequence[list[int]], say: Any, beyond: int = 0) -> Said:
    """What `say` finds in batches of alike lengths, without gradients; also of places `beyond` the last token."""
    import torch

    sizes = [len(p) + len(c) for p, c in zip(prompts, completions, strict=True)]
    width, found = max(map(len, completions)) + beyond, {}
    for batch in length_batches(sizes, LOOK_TOKENS):
        with torch.no_grad():
            said = say([prompts[at] for at in batch], [completions[at] for at in batch])
        for name, part in vars(said).items():
            if part is not None:
                whole = found.setdefault(name, part.new_zeros(len(sizes), width))
                whole[batch, : part.shape[1]] = part
    return Said(**found)


def hidden_states(model: Any, ids: Tensor, attention: Tensor) -> Tensor:
    return model.base_model(input_ids=ids, attention_mask=attention, use_cache=False).last_hidden_state


def read(
    model: Any, hidden: Tensor, ids: Tensor, mask: Tensor, temperature: float, quick: bool
) -> tuple[Tensor, Tensor]:
    """Log-probability and entropy at the completions' tokens, [tokens]; the head sees no others. `quick` is for plain
    heads, and gives the entropy no gradient."""
    states, targets = hidden[:, :-1][mask[:, 1:]], ids[:, 1:][mask[:, 1:]]
    if quick:
        found = head.score_tokens(states / temperature, model.get_output_embeddings().weight, targets)
        return found[0], found[1]
    scores = (model.get_output_embeddings()(states).float() / temperature).log_softmax(-1)
    entropy = -(scores.exp() * scores).sum(-1)
    return scores.gather(-1, targets[:, None])[:, 0], entropy


def padded(
    prompts: Sequence[list[int]], completions: Sequence[list[int]], device: Any
) -> tuple[Tensor, Tensor, Tensor]:
    """Rows of prompt and completion padded on the right, where they are padding, and where the completion is."""
    import torch

    rows = [prompt + completion for prompt, completion in zip(prompts, completions, strict=True)]
    width = max(map(len, rows))
    ids = torch.tensor([row + [0] * (width - len(row)) for row in rows], device=device)
    columns = torch.arange(width, device=device)
    starts, ends = (
        torch.tensor(sizes, device=device)[:, None] for sizes in (list(map(len, prompts)), list(map(len, rows)))
    )
    return ids, (columns < ends).long(), (columns >= starts) & (columns < ends)


def completion_mask(completions: Sequence[list[int]], device: Any, beyond: int = 0) -> Tensor:
    """1.0 on every token of the completions, and on so many places beyond it: [completions, tokens + beyond]."""
    import torch

    sizes = torch.tensor([len(one) + beyond for one in completions], device=device)[:, None]
    return (torch.arange(int(sizes.max()), device=device) < sizes).float()


def aligned(values: Tensor, completions: Sequence[list[int]], beyond: int = 0) -> Tensor:
    """One value a place, row after row, as [completions, tokens + beyond]."""
    there = completion_mask(completions, values.device, beyond).bool()
    return values.float().new_zeros(there.shape).masked_scatter(there, values.float())


def make_value_head(hidden: int, session: Any) -> Any:
    """Two layers, hidden → hidden → 1. It starts at zero, or as an earlier run left it beside the base model."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(session.config.seed)
        made = torch.nn.Sequential(torch.nn.Linear(hidden, hidden), torch.nn.Tanh(), torch.nn.Linear(hidden, 1))
    torch.nn.init.zeros_(made[2].weight)
    torch.nn.init.zeros_(made[2].bias)
    known = Path(session.run.base_model) / VALUE_FOLDER / "model.safetensors"
    if known.exists():
        from safetensors.torch import load_file

        made.load_state_dict(load_file(known))
    return made.to(session.machine.device)


def save_value_head(value_head: Any, folder: Path) -> None:
    from safetensors.torch import save_file

    (folder / VALUE_FOLDER).mkdir()
    save_file(value_head.state_dict(), folder / VALUE_FOLDER / "model.safetensors")
