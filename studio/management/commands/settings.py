"""Print every environment setting with its value in force."""

import os

from django.conf import settings as django_settings

from studio.commands import Verb
from studio.settings import ENVIRONMENT

SECRET = ("KEY", "TOKEN", "SMTP", "DATABASE", "BROKER")


class Command(Verb):
    help = __doc__

    def handle(self, **options) -> None:
        rows = {name: os.environ.get(name, default) for name, (default, _) in ENVIRONMENT.items()}
        shown = {n: "(set)" if v and any(word in n for word in SECRET) else v for n, v in rows.items()}
        lines = [f"{name:<26}{shown[name] or '–':<32}{ENVIRONMENT[name][1]}" for name in shown]
        self.emit(shown, "\n".join([*lines, "", f"all state is in {django_settings.HOME}"]))
