"""Start the whole studio: web, worker, trainer and model server; Ctrl+C stops every process it started."""

from studio.commands import Verb
from studio.runner import run


class Command(Verb):
    help = __doc__

    def arguments(self, parser) -> None:
        parser.add_argument("--quiet", action="store_true", help="logs go to STUDIO_HOME/logs alone")

    def handle(self, quiet: bool, **options) -> None:
        raise SystemExit(run(quiet=quiet))
