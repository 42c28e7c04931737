r"""Online direct preference optimization: pairs are drawn from the policy itself and ranked by rewards.

Of the completions of a prompt, the one with the highest and the one with the lowest reward are chosen and rejected; a
prompt whose completions all got the same reward makes no pair. On these pairs the loss is that of `dpo`:

    loss = −log σ( β [ log π(y_c|x)/π_ref(y_c|x) − log π(y_r|x)/π_ref(y_r|x) ] )

The reward decides only which is better, not by how much, so its scale does not matter. Fresh pairs keep what DPO learns
about near what the policy says, where pairs of another model leave off.

Paper: Guo et al. 2024, https://arxiv.org/abs/2402.04792
Data: prompts {"prompt": messages[, "reference": text, more columns for the rewards]}
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from training.recipes.config import common_problems
from training.recipes.run import Run, Stop, main
from training.recipes.watching import Watched

DATA = "prompts"
MAKES = "policy"


@dataclass
class Config(Watched):
    rewards: Annotated[str, "what decides which answer is better: a weighted list, such as math 1; format 0.2"] = "math"
    num_generations: Annotated[int, "completions of each prompt, of which the best and the worst make a pair"] = 4
    max_completion_length: Annotated[int, "longest completion in tokens; a longer one is cut off there"] = 256
    temperature: Annotated[float, "of the completions drawn: higher is more varied"] = 1.0
    beta: Annotated[float, "how strongly to stay near ref_model: higher stays nearer"] = 0.1
    self_corrections: Annotated[
        str, "words that are counted as signs of reflecting, with commas between them; empty: none"
    ] = "wait, let me check, let me double-check, actually, hmm"
    rollouts_kept: Annotated[
        int, "completions kept to look at, in whole groups from the first step to the last; 0: none"
    ] = 20_000
    eval_prompts: Annotated[int, "held-out prompts answered at each evaluation; 0: all of them"] = 128
    per_device_train_batch_size: Annotated[int, "completions in one forward pass"] = 8
    gradient_accumulation_steps: Annotated[int, "forward passes' worth of completions drawn for one step"] = 4
    sample_every: Annotated[int, "steps between those of which completions are kept to look at; 0: none"] = 5
    samples: Annotated[int, "prompts of such a step whose completions are kept"] = 4
    learning_rate: Annotated[float, "peak learning rate; about 5e-5 with lora, 5e-7 without"] = 5e-5

    @property
    def rollout_size(self) -> int:
        """Completions drawn for one step."""
        return self.per_device_train_batch_size * self.gradient_accumulation_steps


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
    from training.recipes.drawing import rollout_problems

    found = common_problems(config) + rollout_problems(config)
    if config.num_generations == 1:
        found.append("num_generations 1 makes no pair; draw 2 or more")
    if config.beta <= 0:
        found.append(f"beta must be above 0, not {config.beta}: at 0 the pairs teach nothing; 0.1 is usual")
    return found


def train(config: Config, run_dir: Path) -> None:
    """Train in `run_dir`; leaves the policy in run_dir/model."""
    run = Run(run_dir, config)
    from training.recipes.loop import Session
    from training.recipes.own_loop import OwnLoop

    session = Session(run, DATA)
    loop, learner = OwnLoop(session), Learner(session)
    loop.resume(learner.load)
    Stop.first_step()
    loop.run_through(learner, config.rollout_size // config.num_generations)
    loop.finish(learner.actor)


@dataclass
class Pairs:
    """The answers of a step with their scores, and of each prompt that tells them apart the best and the worst."""

    seen: list[Any]  # of each row: what is kept of its completions
    answers: list[Any]
    scores: list[Any]
    prompts: list[list[int]]
    pairs: list[tuple[int, int]]  # places of chosen and rejected
    kl: dict[int, float]  # by place, of completions in pairs

    @property
    def tokens(self) -> int:
        return sum(len(prompt) + len(one.tokens) for prompt, one in zip(self.prompts, self.answers, strict=True))


class Learner:
    """The policy and what changes while it learns."""

    def __init__(self, session: Any) -> None:
        from training.recipes.actor_critic import ActorCritic
        from training.recipes.drawing import Drawing
        from training.recipes.own_loop import adamw

        self.session, self.config = session, session.config
        self.actor = ActorCritic(session)
        self.drawing = Drawing(session, self.actor)
        self.optimizer = adamw(self.actor.learning(self.actor.policy), self.config)

    def roll_out(self, rows: Sequence[dict[str, Any]], step: int) -> Pairs:
        from training.recipes.rollouts import described, grouped
        from training.recipes.scoring import check_some

        n = self.config.num_generations
        self.actor.forget()
        prompts, drawn = self.drawing.draw(rows, n, step)
        answers = self.drawing.answers(rows, n, drawn)
        scores = self.drawing.rewards(answers)
        check_some(scores, step)
        groups = [range(at, at + n) for at in range(0, len(answers), n)]
        found = (ranked([scores[at].total for at in group]) for group in groups)
        pairs = [
            (group[best], group[worst]) for group, (best, worst) in zip(groups, found, strict=True) if best != worst
        ]
        seen = list(grouped(rows, described(answers, scores, [one.ended for one in drawn]), n))
        return Pairs(seen, answers, scores, prompts, pairs, {})

    def learn(self, rollout: Pairs, step: int, total: int) -> dict[str, float]:
        """One optimiser step on the pairs; the step's curves. Without a pair the policy stays as it is."""
        from training.recipes.own_loop import update

        half, sums = max(1, self.config.per_device_train_batch_size // 2), {"loss": 0.0}
        with self.session.clock("learn"):
            for start in range(0, len(rollout.pairs), half):
                loss, parts = self.loss(rollout, rollout.pairs[start : start + half])
                (loss / len(rollout.pairs)).backward()
                sums = {name: sums.get(name, 0.0) + value / len(rollout.pairs) for name, value in parts.items()}
            if rollout.pairs:
                sums["grad_norm"] = update(self.optimizer, self.config, step - 1, total)
        return sums | self.curves(rollout)

    def loss(self, rollout: Pairs, pairs: Sequence[tuple[int, int]]) -> tuple[Any, dict[str, float]]:
        """The loss summed over pairs, and sums for the curves."""
        from torch.nn.functional import logsigmoid

        places = [pair[side] for side in (0, 1) for pair in pairs]
        rows = [rollout.prompts[at] for at in places], [rollout.answers[at].tokens for at in places]
        said = self.actor.say(*rows).log_probs
        log_ratio = (said - self.actor.reference(*rows)).sum(1)
        rollout.kl |= dict(zip(places, log_ratio.tolist(), strict=True))
        chosen, rejected = (self.config.beta * part for part in log_ratio.split(len(pairs)))
        margin = chosen - rejected
        loss = -logsigmoid(margin).sum()
        parts = {
            "loss": loss, "rewards/chosen": chosen.sum(), "rewards/rejected": rejected.sum(),
            "rewards/margins": margin.sum(), "rewards/accuracies": (margin > 0).float().sum(),
        }  # fmt: skip
        return loss, {name: value.item() for name, value in parts.items()}

    def curves(self, rollout: Pairs) -> dict[str, float]:
        from training.recipes.scoring import part_means, self_corrections

        texts = [answer.text for answer in rollout.answers]
        prompts = len(rollout.answers) / self.config.num_generations
        ended = [one.tokens[-1] in self.actor.ends for one in rollout.answers]
        return (
            part_means(rollout.scores)
            | self_corrections(texts, self.config.self_corrections)
            | {
                "frac_reward_zero_std": 1 - len(rollout.pairs) / prompts,
                "completions/mean_length": sum(len(one.tokens) for one in rollout.answers) / len(rollout.answers),
                "completions/clipped_ratio": 1 - sum(ended) / len(ended),
                "learning_rate": self.optimizer.param_groups[0]["lr"],
            }
        )

    def shown(self, rollout: Pairs) -> list[dict[str, Any]]:
        """The first completions of a step with every part of their reward."""
        first = list(zip(rollout.answers, rollout.scores, strict=True))
        return [
            {"prompt": one.row["prompt"], "completion": one.text, "reward": score.total, "parts": score.parts}
            for one, score in first[: self.config.samples * self.config.num_generations]
        ]

    def groups(self, rollout: Pairs) -> list[Any]:
        """All completions of a step, by prompt; which were chosen and rejected, and how far they are from ref_model."""
        completions = [one for _, group in rollout.seen for one in group]
        for best, worst in rollout.pairs:
            completions[best] |= {"kl": rollout.kl[best], "mark": "chosen"}
            completions[worst] |= {"kl": rollout.kl[worst], "mark": "rejected"}
        return rollout.seen

    def save(self, folder: Path, tokens: int) -> None:
        from training.recipes.own_loop import save_state

        save_state(folder, self.actor.named_parameters(), self.optimizer, {"tokens": tokens})

    def load(self, folder: Path) -> dict[str, Any]:
        from training.recipes.own_loop import load_state

        return load_state(folder, self.actor.named_parameters(), self.optimizer)


def ranked(totals: Sequence[float | None]) -> tuple[int, int]:
    """Places of the best and of the worst; the same place twice where they are equal.

    >>> ranked([0.5, None, 1.0, 0.0]), ranked([1.0, 1.0, None]), ranked([None, None])
    ((2, 3), (0, 0), (0, 0))
    """
    known = [at for at, total in enumerate(totals) if total is not None] or [0]
    best, worst = (choose(known, key=lambda at: totals[at] or 0.0) for choose in (max, min))
    return (best, worst) if totals[best] != totals[worst] else (known[0], known[0])


if __name__ == "__main__":
    main(Config, problems, train)
