"""Run the model server: OpenAI-compatible answers and reward-model scores."""

import os
import sys

from django.conf import settings

from studio.commands import Verb


class Command(Verb):
    help = __doc__

    def arguments(self, parser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", default=settings.MODEL_SERVER_URL.rsplit(":", 1)[-1])

    def handle(self, host: str, port: str, **options) -> None:
        models = settings.HOME / "models"
        models.mkdir(exist_ok=True)
        os.environ["STUDIO_SERVER_TOKEN"] = settings.SERVER_TOKEN
        arguments = ["--host", host, "--port", port, "--models", str(models)]
        os.execv(sys.executable, [sys.executable, "-m", "training.server", *arguments])
