"""What GRPO and RLOO add to TRL's trainers: prompts read once, rewards asked once, equal groups left out."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Any

from training.recipes import machine, weights
from training.recipes.learned import Rewards
from training.recipes.own_loop import order
from training.recipes.rollouts import described, grouped, of_steps
from training.recipes.scoring import Answer, Score, check_some, part_means, self_corrections
from training.recipes.watching import Seen, Watcher, told

ROW = "row"  # the column by which a trainer's rows are found again: their own columns need not survive Arrow


def arguments(session: Any) -> dict[str, Any]:
    """What both configs of TRL's are given."""
    config = session.config
    return session.arguments() | {
        "num_generations": config.num_generations, "max_completion_length": config.max_completion_length,
        "temperature": config.temperature, "beta": config.beta, "num_iterations": config.num_iterations,
        "num_generations_eval": 1, "disable_dropout": True, "remove_unused_columns": False,
        "use_vllm": uses_vllm(session), "vllm_mode": "colocate",
    }  # fmt: skip


def uses_vllm(session: Any) -> bool:
    return session.machine.device == "cuda" and importlib.util.find_spec("vllm") is not None


def datasets(session: Any) -> dict[str, Any]:
    """Prompts and the numbers of their rows; held-out rows are counted on from the last one trained on."""
    from datasets import Dataset, disable_progress_bars

    disable_progress_bars()
    held_out = session.eval_rows.rows[: session.config.eval_prompts or None]
    session.all_rows = session.train_rows.rows + held_out
    numbered = [{"prompt": row["prompt"], ROW: at} for at, row in enumerate(session.all_rows)]
    count = len(session.train_rows.rows)
    held_out = Dataset.from_list(numbered[count:]) if numbered[count:] else None
    a_step = session.config.rollout_size * machine.world_size() // session.config.num_generations
    times = -(-a_step // count)  # TRL leaves out a step that the prompts do not fill, even if it is the only one
    return {"train_dataset": Dataset.from_list(numbered[:count] * times), "eval_dataset": held_out}


def make_trainer(base: type, session: Any, policy: Any, args: Any, **options: Any) -> Any:
    """A trainer of TRL's kind `base`, quickened."""
    config = session.config
    rewards, kept_rollouts, watcher = Rewards(session, config.rewards), of_steps(session), Watcher(session)

    def reward(completion_ids: list[list[int]], row: list[int], log_metric: Any, **_: Any) -> list[Any]:
        said = answers(row, completion_ids)
        scores = trainer.scores(said)
        if not trainer.model.training:
            trainer.evaluated += zip(row, said, scores, strict=True)
        counted = self_corrections([answer.text for answer in said], config.self_corrections)
        for name, value in counted.items():
            log_metric(name, value)
        for name, value in part_means(scores).items():
            if name.startswith("rewards/"):
                log_metric(name, value)
        return [score.total for score in scores]

    def answers(places: Sequence[int], drawn: Sequence[list[int]]) -> list[Answer]:
        texts = session.tokenizer.batch_decode(drawn, skip_special_tokens=True)
        return [Answer(session.all_rows[at], *said) for at, *said in zip(places, texts, drawn, strict=True)]

    class GroupTrainer(base):
        drawn: list[list[int]] | None = None  # completions waiting to be taken as generated
        known: dict[tuple[int, str], Score] = {}  # scores of the completions of this step
        shown: list[dict[str, Any]] = []  # what the last step's completions were like
        seen: tuple[int, list[dict[str, Any]], list[dict[str, Any]]]  # its number, rows, and completions to be kept
        kl_unknown: set[int] = set()  # places of those completions whose KL is known once their loss is
        looked: list[Any] = []  # log-probabilities that were asked for last, [completions, tokens] each
        spare = 0  # prompts drawn in place of others in this step so far
        evaluated: list[tuple[int, Answer, Score]] = []  # by this evaluation: the place of a row, what was said to it
        batches = 0  # of this evaluation so far
        other: Any = None  # a copy of what the policy was, where nothing else says that

        def scores(self, asked: Sequence[Answer]) -> list[Score]:
            """Each answer of a step is scored once, however often it is asked about."""
            if new := [answer for answer in asked if answer.key not in self.known]:
                self.known |= {answer.key: score for answer, score in zip(new, rewards(new), strict=True)}
            return [self.known[answer.key] for answer in asked]

        def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
            self.known, self.drawn, self.looked = {}, None, []
            if self.model.training and not self.use_vllm:
                inputs, self.drawn = self.draw_with_spread(inputs)
            output = super()._generate_and_score_completions(inputs)
            if self.model.training:
                check_some(list(self.known.values()), self.state.global_step + 1)
                said = answers([one[ROW] for one in inputs], output["completion_ids"].tolist())
                scores = self.scores(said)
                output["teaches"] = self.teaching([score.total for score in scores], output["advantages"])
                self.remember(said, scores, output["advantages"].tolist())
                self.see(said, scores, output)
            return output

        def teaching(self, totals: list[float | None], advantages: Any) -> Any:
            """Which rows are trained on: those of groups with spread. Where the KL is a reward, it is spread too."""
            import torch

            if self.beta and not hasattr(self, "loss_type"):
                return advantages != 0
            n = self.num_generations
            groups = [set(totals[at : at + n]) - {None} for at in range(0, len(totals), n)]
            spread = torch.tensor([len(group) > 1 for group in groups for _ in range(n)], device=advantages.device)
            advantages *= spread  # rounding in a mean of equal rewards, scaled up, would teach noise
            return spread if self.beta else spread & (advantages != 0)

        def draw_with_spread(self, inputs: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[list[int]]]:
            """Draw completions; where a group's rewards are all equal, another prompt's in their place, if asked to."""
            n, inputs, self.spare = self.num_generations, list(inputs), 0
            drawn: list[list[int]] = [[] for _ in inputs]
            again = list(range(0, len(inputs), n))
            for attempt in range(config.resample + 1):
                places = [at for start in again for at in range(start, start + n)]
                for at, tokens in zip(places, self.draw([inputs[at] for at in places]), strict=True):
                    drawn[at] = tokens
                again = [start for start in again if config.resample and not self.spread(inputs, drawn, start)]
                if not again or attempt == config.resample:
                    break
                for start, other in zip(again, self.others(len(again)), strict=True):
                    inputs[start : start + n] = [other] * n
            return inputs, drawn

        def others(self, count: int) -> list[dict[str, Any]]:
            rows = session.train_rows.rows
            places = order(len(rows), range(self.spare, self.spare + count), config.seed + 1 + self.state.global_step)
            self.spare += count
            return [{"prompt": rows[at]["prompt"], ROW: at} for at in places]

        def spread(self, inputs: list[dict[str, Any]], drawn: list[list[int]], start: int) -> bool:
            group = slice(start, start + self.num_generations)
            scores = self.scores(answers([one[ROW] for one in inputs[group]], drawn[group]))
            return len({score.total for score in scores} - {None}) > 1

        def draw(self, inputs: list[dict[str, Any]]) -> list[list[int]]:
            prompts = [session.chat.tokens(one["prompt"], add_generation_prompt=True) for one in inputs]
            return self.decode(prompts)

        def decode(self, prompts: list[list[int]]) -> list[list[int]]:
            """Completions of prompts of which equal ones stand together."""
            import torch

            from training.recipes.generate import draw

            groups = [(list(key), len(list(same))) for key, same in groupby(map(tuple, prompts))]
            network, was_training = self.accelerator.unwrap_model(self.model), self.model.training
            chance = torch.Generator(network.device).manual_seed(self.number_of_chance())
            network.eval()
            found = []
            with session.clock("draw"), self.accelerator.autocast():
                for n in dict.fromkeys(count for _, count in groups):
                    part = [at for at, (_, count) in enumerate(groups) if count == n]
                    options = {"max_tokens": config.max_completion_length, "temperature": config.temperature}
                    ends = frozenset(self.eos_token_ids)
                    answers = draw(network, [groups[at][0] for at in part], n, eos=ends, generator=chance, **options)
                    found += zip(part, answers, strict=True)
            network.train(was_training)
            return [one.tokens for _, group in sorted(found, key=lambda pair: pair[0]) for one in group]

        def _get_train_sampler(self, *args: Any, **options: Any) -> Any:
            """TRL's, told which pass over the prompts it makes: a resumed run goes through them in the same order."""
            sampler = super()._get_train_sampler(*args, **options)
            sampler.set_epoch = lambda epoch: sampler.generator.manual_seed(config.seed + epoch)
            return sampler

        def number_of_chance(self) -> int:
            """Evaluations have the same every time, and take none away from the training."""
            import torch

            if self.model.training:
                return int(torch.randint(2**62, ()))
            self.batches += 1
            place = self.batches * self.accelerator.num_processes + self.accelerator.process_index
            return config.seed * 1_000_003 + place

        def evaluation_loop(self, *args: Any, **options: Any) -> Any:
            self.evaluated, self.batches = [], 0
            output = super().evaluation_loop(*args, **options)
            for name, value in told(self.watch()).items():
                self._metrics["eval"][name].append(value)
            return output

        def watch(self) -> list[Seen]:
            """Every held-out completion once, whichever process drew it."""
            from accelerate.utils import gather_object

            places, said, scores = zip(*self.evaluated, strict=True) if self.evaluated else ((), (), ())
            seen = gather_object(list(zip(places, watcher(said, scores, self.divergence(said)), strict=True)))
            return list(dict(seen).values())

        def divergence(self, said: Sequence[Answer]) -> list[float]:
            """log π − log π_ref of each completion, in nats."""
            from training.recipes.actor_critic import log_probs

            if not said:
                return []
            prompts = [session.chat.tokens(one.row["prompt"], add_generation_prompt=True) for one in said]
            rows = prompts, [one.tokens for one in said], config.temperature
            with self.accelerator.autocast():
                ours = log_probs(weights.core_of(self.accelerator.unwrap_model(self.model)), *rows)
                with self.reference() as model:
                    return (ours - log_probs(model, *rows)).sum(1).tolist()

        @contextmanager
        def reference(self) -> Iterator[Any]:
            """ref_model: the policy without its adapter, TRL's copy, or one of ours, on the device only while it is
            asked: with beta 0 TRL keeps none."""
            policy = self.accelerator.unwrap_model(self.model)
            if hasattr(policy, "disable_adapter"):
                with policy.disable_adapter():
                    yield weights.core_of(policy)
            elif getattr(self, "ref_model", None) is not None:
                yield self.accelerator.unwrap_model(self.ref_model)
            else:
                if self.other is None:
                    self.other = weights.load_policy(session.run.ref_model or session.run.base_model, session.dtype)
                    self.other.requires_grad_(False).eval()
                yield self.other.to(policy.device)
                self.other.to("cpu")

        def _generate_single_turn(self, prompt_ids: list[list[int]], *rest: Any, **more: Any) -> Any:
            if self.use_vllm:
                with session.clock("draw"):
                    return super()._generate_single_turn(prompt_ids, *rest, **more)
            drawn, self.drawn = self.drawn, None
            found = self.decode(prompt_ids) if drawn is None else drawn
            return (found, None) if hasattr(self, "loss_type") else found  # GRPO wants log-probabilities or None beside

        def remember(self, said: list[Answer], scores: list[Score], advantages: list[float]) -> None:
            self.shown = [
                {"prompt": answer.row["prompt"], "completion": answer.text, "reward": score.total,
                 "parts": score.parts | {"advantage": advantage}}
                for answer, score, advantage in zip(said, scores, advantages, strict=True)
            ]  # fmt: skip

        def see(self, said: list[Answer], scores: list[Score], output: dict[str, Any]) -> None:
            """Keep this rollout to look at: at once, or when the KL of those that are learned from is known."""
            import torch

            rows = [until_end(answer.tokens, self.eos_token_ids, self.processing_class.pad_token_id) for answer in said]
            answers = [Answer(one.row, one.text, tokens) for one, (tokens, _) in zip(said, rows, strict=True)]
            seen = described(answers, scores, [ended for _, ended in rows])
            for one, advantage in zip(seen, output["advantages"].tolist(), strict=True):
                one["advantage"] = advantage
            self.seen, self.kl_unknown = (self.state.global_step + 1, [one.row for one in said], seen), set()
            output["place"] = torch.arange(len(seen), device=output["advantages"].device)
            if "ref_per_token_logps" in output:
                self.kl_unknown = set(output["place"][output["teaches"]].tolist())
            elif self.beta and len(self.looked) == 2:  # by the policy that drew, and by the reference
                self.note_kl(output["place"], self.looked[0] - self.looked[1], output["completion_mask"])
            if not self.kl_unknown:
                self.keep_seen()

        def keep_seen(self) -> None:
            step, rows, seen = self.seen
            with session.clock("other"):
                kept_rollouts.keep(step, list(grouped(rows[:: self.num_generations], seen, self.num_generations)))

        def note_kl(self, places: Any, log_ratio: Any, mask: Any) -> None:
            for at, kl in zip(places.tolist(), (log_ratio * mask).sum(1).tolist(), strict=True):
                self.seen[2][at].setdefault("kl", kl)

        def _get_per_token_logps_and_entropies(self, *args: Any, **options: Any) -> Any:
            with session.clock("learn"):
                found = super()._get_per_token_logps_and_entropies(*args, **options)
            self.looked.append(found[0].detach())
            return found

        def plain_loss(self, model: Any, inputs: dict[str, Any]) -> Any:
            """TRL's loss; in passing, how far the completions are from ref_model by the policy that drew them."""
            self.looked = []
            loss = super()._compute_loss(model, inputs)
            if self.kl_unknown and "place" in inputs:
                log_ratio = self.looked[0] - inputs["ref_per_token_logps"]
                self.note_kl(inputs["place"], log_ratio, inputs["completion_mask"])
                self.kl_unknown -= set(inputs["place"].tolist())
                if not self.kl_unknown:
                    self.keep_seen()
            return loss

        def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> Any:
            """Rows that teach nothing do not pass through the model; the loss is what it would be with them. Several
            processes leave out none: each must have as many rows to compare as the others, and pass them as often."""
            teaches = inputs.get("teaches", inputs["advantages"] != 0)
            if self.accelerator.num_processes > 1 or bool(teaches.all()):
                return self.plain_loss(model, inputs)
            if not bool(teaches.any()):
                return sum(p.sum() for p in model.parameters() if p.requires_grad) * 0.0
            count, size = int(teaches.sum()), len(teaches)
            kept = {
                name: part[teaches] if hasattr(part, "dim") and part.dim() and len(part) == size else part
                for name, part in inputs.items()
            }
            return self.plain_loss(model, kept) * self.share(inputs, kept, count / size)

        def share(self, inputs: dict[str, Any], kept: dict[str, Any], rows: float) -> float:
            """What the loss of the kept rows is of the loss of all: by which of them it is a mean over."""
            kind = getattr(self, "loss_type", "grpo")
            if kind == "bnpo":
                return float(kept["completion_mask"].sum() / inputs["completion_mask"].sum())
            return 1.0 if kind in ("dapo", "cispo", "vespo") else rows

    trainer = GroupTrainer(
        policy, reward_funcs=[reward], args=args, processing_class=session.tokenizer,
        peft_config=session.adapter(policy, "CAUSAL_LM"), **datasets(session), **options,
    )  # fmt: skip
    return trainer


def until_end(padded: Sequence[int], ends: Sequence[int], pad: int) -> tuple[list[int], bool]:
    """A completion's own tokens, and whether it came to an end.

    >>> until_end([5, 6, 1, 0], [1], pad=0), until_end([5, 6, 0, 0], [1], pad=0), until_end([5, 1, 1], [1], pad=1)
    (([5, 6, 1], True), ([5, 6], False), ([5, 1], True))
    """
    end = next((at for at, token in enumerate(padded) if token in ends), None)
    if end is not None:
        return list(padded[: end + 1]), True
    return list(padded[: len(padded) - next((at for at, t in enumerate(reversed(padded)) if t != pad), 0)]), False


def rollouts(session: Any) -> Any:
    """Sample the policy: the groups of the last step."""

    def draw(trainer: Any) -> Iterator[dict[str, Any]]:
        yield from trainer.shown[: session.config.samples * session.config.num_generations]

    return draw
