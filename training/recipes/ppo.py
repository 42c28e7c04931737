r"""Proximal policy optimization: the policy answers, rewards score, a value head foretells, clipped steps improve.

The KL-regularised objective E[r(x, y)] − kl_coef · KL(π‖π_ref) has its optimum at π*(y|x) ∝ π_ref(y|x) exp(r/kl_coef).
Every token of a completion gets a reward, and the last one the completion's score on top (InstructGPT):

    r_t = −kl_coef · [log π(y_t) − log π_ref(y_t)]        (+ score at the last token, + step scores at steps' ends)

From these and from the values V(s_t) come advantages A_t (GAE), and for some epochs over minibatches of the rollout

    loss = mean_t −min( ρ_t A_t, clip(ρ_t, 1−ε, 1+ε) A_t ) + vf_coef · ½ max( (V−R)², (V_clipped−R)² )

with ρ_t = π/π_old. V is a head on the policy's states, or a value model of its own that begins as the reward model and
reads the completion's end as well: there the score comes behind the last token.

The KL is a reward, so it is never differentiated: with k1, above, the expected gradient is exactly that of the
objective. With k3 in its place it is not. Its mean is the KL too, but as a reward its policy gradient is
∇KL(π‖π_ref) − ∇KL(π_ref‖π), which vanishes near π_ref: there k3 hardly holds the policy back. k1 is the default.

Papers: Schulman et al. 2017, https://arxiv.org/abs/1707.06347; Ouyang et al. 2022, step 3,
https://arxiv.org/abs/2203.02155; details: Huang et al. 2024, https://arxiv.org/abs/2403.17031
Data: prompts {"prompt": messages[, "reference": text, more columns for the rewards]}
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from training.recipes import rl
from training.recipes.config import common_problems
from training.recipes.drawing import rollout_problems
from training.recipes.run import Run, Stop, main
from training.recipes.watching import Watched

DATA = "prompts"
MAKES = "policy"


@dataclass
class Config(Watched):
    rewards: Annotated[str, "what is rewarded: a weighted list, such as math 1; format 0.2"] = "math"
    num_generations: Annotated[int, "completions drawn for each prompt, which is read once for all of them"] = 1
    max_completion_length: Annotated[int, "longest completion in tokens; a longer one is cut off there"] = 256
    temperature: Annotated[float, "of the completions drawn: higher is more varied"] = 1.0
    num_ppo_epochs: Annotated[int, "passes over each rollout"] = 4
    num_mini_batches: Annotated[int, "optimiser steps in each of these passes"] = 1
    kl_coef: Annotated[float, "how strongly to stay near ref_model: higher stays nearer"] = 0.05
    kl_target: Annotated[
        float | None, "draw kl_coef to where a completion's KL is this many nats; empty: hold it fixed"
    ] = None
    kl_horizon: Annotated[int, "with kl_target: completions in which kl_coef can about double"] = 10_000
    kl_estimator: Annotated[Literal["k1", "k3"], "k1 leads to the optimum; k3 varies less and does not"] = "k1"
    gamma: Annotated[float, "how much a reward counts one token earlier"] = 1.0
    lam: Annotated[float, "1 trusts rewards, 0 trusts values"] = 0.95
    cliprange: Annotated[float, "how far a token's probability may move in one rollout, as a share"] = 0.2
    cliprange_value: Annotated[float, "how far a value may move in one rollout; 0: as far as it wants"] = 0.2
    vf_coef: Annotated[float, "how much the loss of the values counts"] = 0.1
    value_model: Annotated[
        Literal["head", "own"],
        "head: two layers on the policy's states, quick; own: a model that begins as the reward model, foretells "
        "better and costs as much again as the policy",
    ] = "head"
    detach_value_head: Annotated[
        bool, "values are learned by their head alone; else they shape the policy's layers as well"
    ] = False
    entropy_coef: Annotated[float, "rewards undecided tokens; 0: does not"] = 0.0
    whiten_advantages: Annotated[bool, "bring the advantages of a rollout to mean 0 and deviation 1"] = True
    whiten_rewards: Annotated[bool, "bring the rewards of a rollout's tokens to deviation 1"] = False
    normalize_scores: Annotated[bool, "divide scores by the deviation of all scores so far"] = False
    clip_scores: Annotated[float | None, "scores are kept within ± this; empty: as they are"] = None
    missing_eos_penalty: Annotated[float | None, "taken off the score of a completion that was cut off"] = None
    self_corrections: Annotated[
        str, "words that are counted as signs of reflecting, with commas between them; empty: none"
    ] = "wait, let me check, let me double-check, actually, hmm"
    rollouts_kept: Annotated[
        int, "completions kept to look at, in whole groups from the first step to the last; 0: none"
    ] = 20_000
    eval_prompts: Annotated[int, "held-out prompts answered at each evaluation; 0: all of them"] = 128
    max_steps: Annotated[int, "stop after this many rollouts; -1: num_train_epochs decides"] = -1
    num_train_epochs: Annotated[float, "passes over the prompts"] = 1.0
    per_device_train_batch_size: Annotated[int, "completions in one forward pass"] = 8
    gradient_accumulation_steps: Annotated[int, "forward passes added up before one optimiser step"] = 4
    sample_every: Annotated[int, "rollouts between those of which completions are kept to look at; 0: none"] = 5
    samples: Annotated[int, "prompts of such a rollout whose completions are kept"] = 4
    learning_rate: Annotated[float, "peak learning rate; about 5e-5 with lora, 1e-6 without"] = 5e-5
    lr_scheduler_type: Annotated[
        Literal["linear", "cosine", "constant_with_warmup"], "how the learning rate falls after warm-up"
    ] = "linear"

    @property
    def rollout_size(self) -> int:
        """Completions of one rollout."""
        return self.per_device_train_batch_size * self.gradient_accumulation_steps * self.num_mini_batches


PRESETS = {
    "smoke": {
        **{"max_steps": 2, "per_device_train_batch_size": 4, "gradient_accumulation_steps": 1, "lora_layers": 4},
        **{"max_completion_length": 32, "eval_on_start": False, "eval_prompts": 4, "sample_every": 1},
    },
    "small": {"lora_layers": 8, "max_length": 512, "max_completion_length": 128, "save_steps": 10, "eval_prompts": 32},
    "full": {},
}


def problems(config: Config) -> list[str]:
    """What is wrong with these settings, one sentence each; nothing where they are fine."""
    found = common_problems(config) + rollout_problems(config)
    for name in ("num_ppo_epochs", "num_mini_batches", "kl_horizon"):
        if getattr(config, name) < 1:
            found.append(f"{name} must be above 0, not {getattr(config, name)}")
    for name in ("kl_coef", "cliprange_value", "vf_coef", "entropy_coef"):
        if getattr(config, name) < 0:
            found.append(f"{name} must not be negative, not {getattr(config, name)}")
    for name in ("gamma", "lam"):
        if not 0 <= getattr(config, name) <= 1:
            found.append(f"{name} must be between 0 and 1, not {getattr(config, name)}")
    for name in ("cliprange", "kl_target", "clip_scores"):
        if (value := getattr(config, name)) is not None and value <= 0:
            found.append(f"{name} must be above 0, not {value}" + "; leave it empty for none" * (name != "cliprange"))
    return found


def train(config: Config, run_dir: Path) -> None:
    """Train in `run_dir`; leaves the policy in run_dir/model, and its value head, where it has one, beside it."""
    run = Run(run_dir, config)
    from training.recipes.actor_critic import save_value_head
    from training.recipes.loop import Session
    from training.recipes.own_loop import OwnLoop

    session = Session(run, DATA)
    loop, learner = OwnLoop(session), Learner(session)
    loop.resume(learner.load)
    Stop.first_step()
    loop.run_through(learner, config.rollout_size // config.num_generations)
    head = learner.actor.value_head
    loop.finish(learner.actor, lambda folder: head and save_value_head(head, folder))


@dataclass
class Rollout:
    """Completions as they were drawn, and what learning needs of them: [completions, tokens] where not said else."""

    answers: list[Any]
    prompts: list[list[int]]
    completions: list[list[int]]
    ended: list[bool]
    scores: list[Any]
    mask: Any
    valued: Any  # where there are values: as mask, and behind the last token where the value model is its own
    said: Any  # by the policy that drew them: log_probs, values
    log_ratio: Any  # log π − log π_ref
    kl: Any
    advantages: Any
    returns: Any  # as values
    seen: list[Any] = field(default_factory=list)  # of each row: what is kept of its completions, scored or not
    places: list[int] = field(default_factory=list)  # of these completions among all that were drawn

    @property
    def tokens(self) -> int:
        return sum(map(len, self.prompts)) + sum(map(len, self.completions))


class Learner:
    """The policy and everything that changes while it learns."""

    def __init__(self, session: Any) -> None:
        from training.recipes.actor_critic import ActorCritic
        from training.recipes.drawing import Drawing
        from training.recipes.own_loop import adamw

        self.session, self.config = session, session.config
        own_critic = self.config.value_model == "own"
        self.actor = ActorCritic(session, self.config.detach_value_head, bool(self.config.entropy_coef), own_critic)
        self.drawing = Drawing(session, self.actor)
        self.optimizer = adamw(self.actor.parameters, self.config)
        self.kl = rl.KLController(self.config.kl_coef, self.config.kl_target, self.config.kl_horizon)
        self.seen = rl.Running()  # every score there was

    def roll_out(self, rows: Sequence[dict[str, Any]], step: int) -> Rollout:
        """Answer, score, hear what the reference says of the answers, and work out the advantages."""
        import torch

        from training.recipes.actor_critic import completion_mask
        from training.recipes.rollouts import described, grouped
        from training.recipes.scoring import check_some

        self.actor.forget()
        n = self.config.num_generations
        prompts, drawn = self.drawing.draw(rows, n, step)
        answers = self.drawing.answers(rows, n, drawn)
        scores = self.drawing.rewards(answers)
        check_some(scores, step)
        seen = list(grouped(rows, described(answers, scores, [one.ended for one in drawn]), n))
        kept = [at for at, score in enumerate(scores) if score.total is not None]
        prompts, drawn = [prompts[at] for at in kept], [drawn[at] for at in kept]
        completions = [one.tokens for one in drawn]
        mask = valued = completion_mask(completions, self.actor.policy.device)
        with self.session.clock("learn"):
            said = self.actor.recall(prompts, drawn)
            if critic := self.actor.critic:
                valued = completion_mask(completions, self.actor.policy.device, beyond=1)
                said.values = critic.look(prompts, completions)
            log_ratio = (said.log_probs - self.actor.reference(prompts, completions)) * mask
        rollout = Rollout(
            [answers[at] for at in kept], prompts, completions, [one.ended for one in drawn],
            [scores[at] for at in kept], mask, valued, said, log_ratio, rl.kl(log_ratio, self.config.kl_estimator),
            None, None, seen, kept,
        )  # fmt: skip
        with torch.no_grad():
            self.judge(rollout)
        return rollout

    def judge(self, rollout: Rollout) -> None:
        """Rewards of tokens, and from them advantages and returns."""
        config, mask, valued = self.config, rollout.mask, rollout.valued
        rewards = self.token_rewards(rollout)
        if config.whiten_rewards:
            rewards = rl.whiten(rewards, valued, shift_mean=False)
        advantages, rollout.returns = rl.gae(rewards, rollout.said.values, valued, config.gamma, config.lam)
        advantages = advantages[:, : mask.shape[1]] * mask
        rollout.advantages = rl.whiten(advantages, mask) if config.whiten_advantages else advantages

    def token_rewards(self, rollout: Rollout) -> Any:
        """The KL at every token; scores of steps where steps end, of the whole at the last place that has a value."""
        from training.recipes.scoring import pieces_of, token_at

        rewards, last = rollout.valued.new_zeros(rollout.valued.shape), rollout.valued.sum(1).long() - 1
        rewards[:, : rollout.kl.shape[1]] = -self.kl.coef * rollout.kl
        for at, score in enumerate(self.final_scores(rollout)):
            rewards[at, last[at]] += score
            if steps := rollout.scores[at].steps:
                pieces = pieces_of(self.session.tokenizer, rollout.completions[at])
                for character, value in steps:
                    rewards[at, token_at(pieces, character)] += value
        return rewards

    def final_scores(self, rollout: Rollout) -> list[float]:
        """Each completion's score as it is learned: without an end less, brought to scale, kept within bounds."""
        config, scores = self.config, [score.total for score in rollout.scores]
        if config.missing_eos_penalty is not None:
            scores = [
                s - config.missing_eos_penalty * (not done) for s, done in zip(scores, rollout.ended, strict=True)
            ]
        if config.normalize_scores:
            self.seen.add(scores)
            scores = [score / (self.seen.std or 1.0) for score in scores]
        bound = config.clip_scores
        return scores if bound is None else [max(-bound, min(bound, score)) for score in scores]

    def learn(self, rollout: Rollout, step: int, total: int) -> dict[str, float]:
        """Some passes over the rollout in minibatches; returns the step's curves."""
        config, count = self.config, len(rollout.prompts)
        chance, seen = random.Random(f"{config.seed} {step}"), []
        done = (step - 1) * config.num_ppo_epochs * config.num_mini_batches
        for _ in range(config.num_ppo_epochs):
            shuffled = chance.sample(range(count), count)
            for part in range(config.num_mini_batches):
                if batch := shuffled[part :: config.num_mini_batches]:
                    with self.session.clock("learn"):
                        seen.append(self.optimise(rollout, batch, done, total))
                done += 1
        curves = {name: sum(one[name] for one in seen) / len(seen) for name in seen[0]}
        curves["entropy"] = seen[0]["policy/entropy_avg"]  # before anything was learned
        curves["val/ratio_var"] = sum((one["val/ratio"] - curves["val/ratio"]) ** 2 for one in seen) / len(seen)
        curves |= self.curves(rollout) | {"learning_rate": self.optimizer.param_groups[0]["lr"]}
        self.kl.update(curves["objective/kl"], count)
        return curves

    def optimise(self, rollout: Rollout, batch: list[int], done: int, total: int) -> dict[str, float]:
        """One optimiser step on these completions, alike lengths passing through the model together."""
        from training.recipes.own_loop import update

        config, sums = self.config, {}
        batch = sorted(batch, key=lambda at: len(rollout.prompts[at]) + len(rollout.completions[at]))
        tokens = sum(len(rollout.completions[at]) for at in batch)
        for start in range(0, len(batch), config.per_device_train_batch_size):
            for loss, parts in self.losses(rollout, batch[start : start + config.per_device_train_batch_size]):
                (loss / tokens).backward()
                for name, value in parts.items():
                    sums[name] = sums.get(name, 0.0) + value.item() / tokens
        per_rollout = config.num_ppo_epochs * config.num_mini_batches
        return sums | {"grad_norm": update(self.optimizer, config, done, total * per_rollout)}

    def losses(self, rollout: Rollout, rows: list[int]) -> Iterator[tuple[Any, dict[str, Any]]]:
        """Losses summed over the tokens of these completions, and sums for the curves. A value model of its own has a
        loss of its own: its backward pass comes when the policy's is done with, and nothing is held for both."""
        config, width = self.config, max(len(rollout.completions[at]) for at in rows)
        prompts, completions = ([part[at] for at in rows] for part in (rollout.prompts, rollout.completions))
        mask, old, advantages = (
            part[rows, :width] for part in (rollout.mask, rollout.said.log_probs, rollout.advantages)
        )
        said = self.actor.say(prompts, completions)
        policy, ratio, clipped = rl.policy_losses(said.log_probs, old, advantages, config.cliprange)
        whole = policy - config.entropy_coef * said.entropy
        parts = {
            "loss": whole, "loss/policy_avg": policy, "policy/entropy_avg": said.entropy,
            "policy/approxkl_avg": (said.log_probs - old) ** 2 / 2, "policy/clipfrac_avg": clipped, "val/ratio": ratio,
        }  # fmt: skip
        loss, sums = (whole * mask).sum(), {name: (part.detach() * mask).sum() for name, part in parts.items()}
        if critic := self.actor.critic:
            yield loss, sums
            yield self.value_loss(rollout, rows, critic.say(prompts, completions))
        else:
            value_loss, value_sums = self.value_loss(rollout, rows, said.values)
            yield loss + value_loss, sums | value_sums | {"loss": sums["loss"] + value_sums["loss"]}

    def value_loss(self, rollout: Rollout, rows: list[int], values: Any) -> tuple[Any, dict[str, Any]]:
        config, width = self.config, values.shape[1]
        valued, old, returns = (part[rows, :width] for part in (rollout.valued, rollout.said.values, rollout.returns))
        value, clipped = rl.value_losses(values, old, returns, config.cliprange_value)
        loss = (config.vf_coef * value * valued).sum()
        parts = {"loss/value_avg": value, "val/clipfrac_avg": clipped}
        return loss, {"loss": loss.detach()} | {name: (part.detach() * valued).sum() for name, part in parts.items()}

    def curves(self, rollout: Rollout) -> dict[str, float]:
        """What a rollout was like, under TRL's names."""
        from training.recipes.scoring import part_means, self_corrections

        texts = [answer.text for answer in rollout.answers]
        mask, count = rollout.mask, len(rollout.prompts)
        kl, score = (rollout.log_ratio * mask).sum(1).mean().item(), sum(s.total for s in rollout.scores) / count
        kl_reward = -self.kl.coef * (rollout.kl * mask).sum(1).mean().item()
        lengths = [len(completion) for completion in rollout.completions]
        return (
            part_means(rollout.scores)
            | self_corrections(texts, self.config.self_corrections)
            | {
                "objective/kl": kl,
                "objective/entropy": -(rollout.said.log_probs * mask).sum(1).mean().item(),
                "objective/scores": score,
                "objective/non_score_reward": kl_reward,
                "objective/rlhf_reward": score + kl_reward,
                "kl_coef": self.kl.coef,
                "val/explained_variance": rl.explained_variance(rollout.said.values, rollout.returns, rollout.valued),
                "val/num_eos_tokens": sum(rollout.ended),
                "completions/mean_length": sum(lengths) / count,
                "completions/max_length": max(lengths),
                "completions/clipped_ratio": 1 - sum(rollout.ended) / count,
            }
        )

    def shown(self, rollout: Rollout) -> list[dict[str, Any]]:
        """The first completions of a rollout with every part of their reward, the KL and the advantage."""
        kl, means = self.each(rollout)
        return [
            {
                "prompt": rollout.answers[at].row["prompt"], "completion": rollout.answers[at].text,
                "reward": rollout.scores[at].total,
                "parts": rollout.scores[at].parts | {"advantage": means[at], "kl": kl[at]},
            }
            for at in range(min(len(kl), self.config.samples * self.config.num_generations))
        ]  # fmt: skip

    def groups(self, rollout: Rollout) -> list[Any]:
        """All completions of a rollout, by prompt."""
        completions = [one for _, group in rollout.seen for one in group]
        for at, kl, advantage in zip(rollout.places, *self.each(rollout), strict=True):
            completions[at] |= {"kl": kl, "advantage": advantage}
        return rollout.seen

    @staticmethod
    def each(rollout: Rollout) -> tuple[list[float], list[float]]:
        """The KL of each completion, and the mean advantage of its tokens."""
        mask = rollout.mask
        return (rollout.log_ratio * mask).sum(1).tolist(), ((rollout.advantages * mask).sum(1) / mask.sum(1)).tolist()

    def save(self, folder: Path, tokens: int) -> None:
        from training.recipes.own_loop import save_state

        said = {"tokens": tokens, "kl_coef": self.kl.coef, "scores": vars(self.seen)}
        save_state(folder, self.actor.named_parameters(), self.optimizer, said)

    def load(self, folder: Path) -> dict[str, Any]:
        from training.recipes.own_loop import load_state

        said = load_state(folder, self.actor.named_parameters(), self.optimizer)
        self.kl.coef, self.seen = said["kl_coef"], rl.Running(**said["scores"])
        return said


if __name__ == "__main__":
    main(Config, problems, train)
