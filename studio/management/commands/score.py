"""Score answers with a reward model, or the steps of answers with a process reward model.

studio score MODEL --prompt P --completion A [--completion B]
studio score MODEL --prompt P --step S [--step S]        # of one answer; or cut its completions: --split line
"""

import asyncio

from django.core.management.base import CommandError

from annotation.models import SPLITS
from annotation.steps.splitting import split
from studio.commands import Verb, model_named
from training import serving
from training.models import ModelVersion


class Command(Verb):
    help = __doc__

    def arguments(self, parser) -> None:
        parser.add_argument("model")
        parser.add_argument("--prompt", required=True)
        parser.add_argument("--completion", action="append", default=[])
        parser.add_argument("--step", action="append", default=[], help="one step of one answer")
        parser.add_argument("--split", choices=list(SPLITS), default="blank_line", help="where completions are cut")

    def handle(self, model: str, prompt: str, completion: list[str], step: list[str], **options) -> None:
        if not completion and not step:
            raise CommandError("Say what to score: --completion, or --step for each step of one answer.")
        scorer, asked = model_named(model), {"role": "user", "content": prompt}
        if step or scorer.makes == "process_reward_model":
            traces = ([step] if step else []) + [split(text, options["split"]) for text in completion]
            return self.score_steps(scorer, asked, traces)
        chats = [[asked, {"role": "assistant", "content": text}] for text in completion]
        try:
            scores = asyncio.run(serving.score(scorer, chats))
        except serving.ServingError as error:
            raise CommandError(str(error)) from error
        rows = [{"completion": text, "score": score} for text, score in zip(completion, scores, strict=True)]
        self.emit(rows, "\n".join(f"{row['score']:+9.4f}  {row['completion'][:100]}" for row in rows))

    def score_steps(self, scorer: ModelVersion, asked: dict, traces: list[list[str]]) -> None:
        items = [{"messages": [asked], "steps": steps} for steps in traces]
        try:
            scores = asyncio.run(serving.score_steps(scorer, items))
        except serving.ServingError as error:
            raise CommandError(str(error)) from error
        rows = [{"steps": steps, "scores": given} for steps, given in zip(traces, scores, strict=True)]
        pairs = (zip(row["steps"], row["scores"], strict=True) for row in rows)
        shown = ["\n".join(f"{'' if p is None else f'{p:.4f}':>6}  {text[:100]}" for text, p in row) for row in pairs]
        self.emit(rows, "\n\n".join(shown))
