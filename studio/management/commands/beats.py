"""Show which workers are listening; --host-is-listening asks about this machine, for health checks."""

import socket
from datetime import timedelta

from django.core.management.base import CommandError
from django.utils import timezone

from studio.commands import Verb
from studio.models import WorkerBeat


class Command(Verb):
    help = __doc__

    def arguments(self, parser) -> None:
        parser.add_argument("--host-is-listening", action="store_true", help="fail unless a worker of this host is")

    def handle(self, host_is_listening: bool, **options) -> None:
        since = timezone.now() - timedelta(seconds=30)
        beats = list(WorkerBeat.objects.filter(seen__gte=since).values("name", "queue", "device", "seen"))
        if host_is_listening and not any(socket.gethostname() in beat["name"] for beat in beats):
            raise CommandError("No worker of this machine has given a sign of life in 30 seconds.")
        lines = [f"{b['queue']:<12}{b['name']:<40}{b['device']}" for b in beats]
        self.emit(beats, "\n".join(lines) or "No worker is listening: run `studio up`, or `studio worker`.")
