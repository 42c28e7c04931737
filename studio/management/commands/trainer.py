"""Run a trainer: one training at a time on this machine's device."""

from django.conf import settings

from studio.commands import Verb
from studio.runner import celery_worker


class Command(Verb):
    help = __doc__

    def arguments(self, parser) -> None:
        parser.add_argument("--queue", default=settings.TRAIN_QUEUE, help="the queue it listens to")

    def handle(self, queue: str, **options) -> None:
        celery_worker("trainer", queue, 1)
