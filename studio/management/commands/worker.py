"""Run a worker: imports, freezing, exports, generation, and waking what was lost."""

from studio.commands import Verb
from studio.runner import celery_worker


class Command(Verb):
    help = __doc__

    def arguments(self, parser) -> None:
        parser.add_argument("--concurrency", type=int, default=2)

    def handle(self, concurrency: int, **options) -> None:
        celery_worker("worker", "default", concurrency)
