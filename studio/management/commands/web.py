"""Run the web process: pages, REST API and the OpenAI-compatible route."""

import os

from studio.commands import Verb


class Command(Verb):
    help = __doc__

    def arguments(self, parser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=int(os.environ.get("STUDIO_PORT", "8000")))
        parser.add_argument("--workers", type=int, default=1)

    def handle(self, host: str, port: int, workers: int, **options) -> None:
        import uvicorn

        uvicorn.run(
            "studio.asgi:application",
            host=host,
            port=port,
            workers=workers,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=2,
        )
