"""Run the model server: OpenAI-compatible answers and reward-model scores."""

import os
import sys

import httpx
from django.conf import settings
from django.core.management.base import CommandError

from studio.commands import Verb
from training.serving import server_headers


class Command(Verb):
    help = __doc__

    def arguments(self, parser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", default=settings.MODEL_SERVER_URL.rsplit(":", 1)[-1])
        parser.add_argument("--check", action="store_true", help="only ask the one that runs how it is")

    def handle(self, host: str, port: str, check: bool, **options) -> None:
        if check:
            return self.report(port)
        models = settings.HOME / "models"
        models.mkdir(exist_ok=True)
        os.environ["STUDIO_SERVER_TOKEN"] = settings.SERVER_TOKEN
        arguments = ["--host", host, "--port", port, "--models", str(models)]
        os.execv(sys.executable, [sys.executable, "-m", "training.server", *arguments])

    def report(self, port: str) -> None:
        try:
            answer = httpx.get(f"http://127.0.0.1:{port}/health", headers=server_headers(), timeout=10)
            answer.raise_for_status()
        except httpx.HTTPError as error:
            raise CommandError(f"No model server answers on port {port}: {error}") from error
        self.emit(answer.json(), answer.text)
