"""Start the studio and show the whole loop: a model trained on rankings by the real workers."""

from studio.commands import Verb
from studio.runner import run


class Command(Verb):
    help = __doc__

    def arguments(self, parser) -> None:
        parser.add_argument("--steps-only", action="store_true", help="only do the steps, in a running studio")
        parser.add_argument("--stop", action="store_true", help="stop the studio when the table is printed")

    def handle(self, steps_only: bool, stop: bool, **options) -> None:
        if not steps_only:
            raise SystemExit(run(demo=True, stop=stop))
        from studio.demo import show

        show()
