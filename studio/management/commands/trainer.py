"""Run a trainer: one training at a time on this machine's device."""

import signal
import subprocess

from django.conf import settings

from studio.commands import Verb
from studio.runner import celery_command, celery_worker
from training.jobs import stop_children


class Command(Verb):
    help = __doc__

    def arguments(self, parser) -> None:
        parser.add_argument("--queue", default=settings.TRAIN_QUEUE, help="the queue it listens to")
        parser.add_argument(
            "--save-on-exit", action="store_true", help="where the machine goes with the trainer, as in a container"
        )

    def handle(self, queue: str, save_on_exit: bool, **options) -> None:
        """A trainer that ends leaves its training alive for the next one, unless told to have it save first."""
        if not save_on_exit:
            return celery_worker("trainer", queue, 1)
        worker = subprocess.Popen(celery_command("trainer", queue, 1), cwd=settings.BASE_DIR)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: worker.terminate())
        worker.wait()
        stop_children()
