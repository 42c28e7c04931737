"""Score answers with a reward model: studio score MODEL --prompt P --completion A [--completion B]."""

import asyncio

from django.core.management.base import CommandError

from studio.commands import Verb, model_named
from training import serving


class Command(Verb):
    help = __doc__

    def arguments(self, parser) -> None:
        parser.add_argument("model")
        parser.add_argument("--prompt", required=True)
        parser.add_argument("--completion", action="append", required=True)

    def handle(self, model: str, prompt: str, completion: list[str], **options) -> None:
        asked = {"role": "user", "content": prompt}
        chats = [[asked, {"role": "assistant", "content": text}] for text in completion]
        try:
            scores = asyncio.run(serving.score(model_named(model), chats))
        except serving.ServingError as error:
            raise CommandError(str(error)) from error
        rows = [{"completion": text, "score": score} for text, score in zip(completion, scores, strict=True)]
        self.emit(rows, "\n".join(f"{row['score']:+9.4f}  {row['completion'][:100]}" for row in rows))
