r"""Best of N: draw N answers to every prompt, keep the best by the rewards, imitate them. The baseline to beat.

Rejection sampling, then `sft`: what is drawn once from the base model is all that is ever learned from, so the policy
comes near what choosing the best of N samples of the base would give, whose KL to the base is at most log N − (N−1)/N,
and no further. Of equally good answers the first is kept. A prompt whose best answer is below `threshold` teaches
nothing.

Papers: Nakano et al. 2021 (WebGPT), https://arxiv.org/abs/2112.09332; Dong et al. 2023 (RAFT),
https://arxiv.org/abs/2304.06767; the KL: Beirami et al. 2024, https://arxiv.org/abs/2401.01879
Data: prompts {"prompt": messages[, "reference": text, more columns for the rewards]}
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from training.recipes.config import Common, common_problems
from training.recipes.run import Run, close_torn_line, main

DATA = "prompts"
MAKES = "policy"
AT_ONCE = 32  # prompts answered between two lines of drawn.jsonl


@dataclass
class Config(Common):
    rewards: Annotated[str, "what decides which answer is best: a weighted list, such as math 1; format 0.2"] = "math"
    num_generations: Annotated[int, "completions drawn of each prompt"] = 8
    threshold: Annotated[float | None, "imitate only answers with at least this reward; empty: any best"] = None
    max_completion_length: Annotated[int, "longest completion in tokens; a longer one is not imitated"] = 256
    temperature: Annotated[float, "of the completions drawn: higher is more varied"] = 1.0
    rollouts_kept: Annotated[int, "completions kept to look at, all N of a prompt or none; 0: none"] = 20_000
    eval_prompts: Annotated[int, "held-out prompts whose best answers are evaluated on; 0: all of them"] = 128
    learning_rate: Annotated[float, "peak learning rate; about 2e-4 with lora, 2e-5 without"] = 2e-4


PRESETS = {
    "smoke": {
        **{"max_steps": 2, "num_generations": 2, "per_device_train_batch_size": 2, "lora_layers": 4},
        **{"max_completion_length": 32, "eval_on_start": False, "eval_prompts": 4},
    },
    "small": {
        **{"lora_layers": 8, "max_length": 512, "max_completion_length": 128, "num_generations": 4},
        **{"save_steps": 20, "sample_every": 40, "eval_prompts": 32},
    },
    "full": {},
}


def problems(config: Config) -> list[str]:
    """What is wrong with these settings, one sentence each; nothing where they are fine."""
    from training.recipes.drawing import drawing_problems

    return common_problems(config) + drawing_problems(config)


def train(config: Config, run_dir: Path) -> None:
    """Draw into run_dir/drawn.jsonl, then train; leaves the policy in run_dir/model."""
    run = Run(run_dir, config)
    from trl import SFTConfig, SFTTrainer

    from training.recipes import rows, weights
    from training.recipes.loop import Session, completions
    from training.recipes.rows import BadData

    session = Session(run, DATA)
    drawn = draw_all(session)
    best = {name: [as_row(line) for line in lines if kept(line, config)] for name, lines in drawn.items()}
    if not best["train"]:
        raise BadData(f"no answer to any of the {len(drawn['train'])} prompts is ended and good enough to imitate")
    session.train_rows, session.eval_rows = (rows.keep(best[name], session.chat, config) for name in ("train", "eval"))
    session.count()
    policy = weights.load_policy(run.base_model, session.dtype)
    arguments = SFTConfig(
        **session.arguments(),
        max_length=config.max_length,
        completion_only_loss=True,
        packing=False,  # packed rows see each other without flash attention
    )
    trainer = SFTTrainer(
        policy,
        args=arguments,
        processing_class=session.tokenizer,
        peft_config=session.adapter(policy, "CAUSAL_LM"),
        **session.datasets(),
    )
    session.fit(trainer, completions(session))


def draw_all(session: Any) -> dict[str, list[dict[str, Any]]]:
    """The best answer to every prompt, of each split. What an earlier start of this run drew is not drawn again."""
    path, config = session.run.dir / "drawn.jsonl", session.config
    close_torn_line(path)
    known = {(line["split"], line["at"]): line for line in read(path)}
    prompts = {"train": session.train_rows.rows, "eval": session.eval_rows.rows[: config.eval_prompts or None]}
    places = {split: range(len(part)) for split, part in prompts.items()}
    missing = [
        (split, start)
        for split, part in places.items()
        for start in part[::AT_ONCE]
        if any((split, at) not in known for at in part[start : start + AT_ONCE])
    ]
    for line in draw(session, prompts, missing) if missing else ():
        session.run.append(path.name, line)
        known[line["split"], line["at"]] = line
    found = {split: [known[split, at] for at in part] for split, part in places.items()}
    say(session, found["train"])
    return found


def draw(session: Any, prompts: dict[str, list], batches: Sequence[tuple[str, int]]) -> Iterator[dict[str, Any]]:
    """The best answer to each prompt of these batches, and how good all of them were on average."""
    from training.recipes.actor_critic import ActorCritic
    from training.recipes.drawing import Drawing
    from training.recipes.online_dpo import ranked
    from training.recipes.rollouts import Rollouts, described

    count = len(prompts["train"])
    rollouts = Rollouts(session.run, groups=count, a_step=count)
    n, drawing = session.config.num_generations, Drawing(session, ActorCritic(session))
    for done, (split, start) in enumerate(batches, 1):
        rows = prompts[split][start : start + AT_ONCE]
        _, drawn = drawing.draw(rows, n, step=2 * start + (split == "eval"))
        answers = drawing.answers(rows, n, drawn)
        scores = drawing.rewards(answers)
        seen = described(answers, scores, [one.ended for one in drawn])
        print(f"drew {n} answers to each of {len(rows)} prompts, {done} times of {len(batches)}", flush=True)
        for at, row in enumerate(rows):
            group = range(at * n, at * n + n)
            best = group[ranked([scores[i].total if drawn[i].ended else None for i in group])[0]]
            if split == "train":
                seen[best]["mark"] = "best"
                rollouts.keep_one(0, start + at, row, [seen[i] for i in group])
            totals = [scores[i].total for i in group if scores[i].total is not None]
            yield {
                "split": split, "at": start + at, "prompt": row["prompt"], "completion": answers[best].text,
                "reward": scores[best].total if drawn[best].ended else None, "parts": scores[best].parts,
                "mean": sum(totals) / len(totals) if totals else None,
            }  # fmt: skip


def say(session: Any, lines: Sequence[dict[str, Any]]) -> None:
    """The first line of the curves: what a draw is worth, and what the best of N are."""
    means = [line["mean"] for line in lines if line["mean"] is not None]
    bests = [line["reward"] for line in lines if line["reward"] is not None]
    if bests:
        values = {"reward": sum(means) / len(means), "reward_best": sum(bests) / len(bests)}
        session.run.metrics(0, session.total, None, values)


def kept(line: dict[str, Any], config: Config) -> bool:
    good = line["reward"] is not None and line["completion"].strip()
    return bool(good) and (config.threshold is None or line["reward"] >= config.threshold)


def as_row(line: dict[str, Any]) -> dict[str, Any]:
    return {"prompt": line["prompt"], "completion": [{"role": "assistant", "content": line["completion"]}]}


def read(path: Path) -> Iterator[dict[str, Any]]:
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            yield json.loads(line)
        except ValueError:
            continue  # torn by a kill


if __name__ == "__main__":
    main(Config, problems, train)
