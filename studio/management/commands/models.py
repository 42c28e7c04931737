"""List models, or register one: --hub owner/name, --folder PATH, or --endpoint URL --endpoint-model NAME."""

from django.core.management.base import CommandError

from studio.commands import Verb, acting_user
from training import registry
from training.models import ModelVersion

FIELDS = ("slug", "makes", "status", "parameters", "bytes", "source", "endpoint", "message")


class Command(Verb):
    help = __doc__

    def arguments(self, parser) -> None:
        source = parser.add_mutually_exclusive_group()
        source.add_argument("--hub")
        source.add_argument("--folder")
        source.add_argument("--endpoint")
        parser.add_argument("--endpoint-model", default="")
        parser.add_argument("--key-env", default="", help="the environment variable that holds the endpoint's key")
        parser.add_argument("--name", default="")

    def handle(self, user: str | None, **options) -> None:
        try:
            made = self.register(acting_user(user), **options) if user or self.wanted(options) else None
        except ValueError as error:
            raise CommandError(str(error)) from error
        if made:
            return self.emit({"slug": made.slug, "status": made.status}, f"{made.slug} is {made.status}.")
        rows = list(ModelVersion.objects.values(*FIELDS))
        lines = [f"{row['slug']:<40}{row['makes']:<22}{row['status']:<10}{row['message']}" for row in rows]
        self.emit(rows, "\n".join(lines) or "No model yet: studio models --folder PATH")

    def wanted(self, options: dict) -> bool:
        return bool(options["hub"] or options["folder"] or options["endpoint"])

    def register(self, user, hub=None, folder=None, endpoint=None, name="", **options) -> ModelVersion | None:
        if hub:
            return registry.register_hub(hub, name=name, user=user)
        if folder:
            return registry.register_folder(folder, name=name, user=user)
        if endpoint:
            model, key = options["endpoint_model"], options["key_env"]
            return registry.register_endpoint(endpoint, name, model, key, user=user)
        return None
