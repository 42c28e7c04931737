"""List projects, or make one: studio project "Name" [--kind steps] [--labels 2]."""

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.db import transaction

from annotation.models import KINDS, SPLITS, Membership, Project
from studio.commands import Verb, acting_user


class Command(Verb):
    help = __doc__

    def arguments(self, parser) -> None:
        parser.add_argument("name", nargs="?", help="name of a project to make")
        parser.add_argument("--labels", type=int, default=1, help="labels each prompt gets")
        parser.add_argument("--kind", choices=KINDS, default="ranking", help="what people do: rank, or mark steps")
        parser.add_argument("--split", choices=SPLITS, default="blank_line", help="where a whole solution is cut")

    def handle(self, name: str | None, labels: int, kind: str, split: str, user: str | None, **options) -> None:
        if name is not None:
            made = make(name, labels, acting_user(user), kind=kind, split_rule=split)
            return self.emit({"slug": made.slug}, f"Made {made.slug}.")
        rows = list(Project.objects.values("slug", "name", "kind", "prompt_count", "labels_wanted"))
        lines = [f"{row['slug']:<32}{row['prompt_count']:>9} prompts  {row['name']}" for row in rows]
        self.emit(rows, "\n".join(lines) or 'No project yet: studio project "My first project"')


@transaction.atomic
def make(name: str, labels: int, manager, **fields: str) -> Project:
    if not 1 <= labels <= 100:
        raise CommandError(f"--labels takes 1 to 100, not {labels}.")
    made = Project(name=name.strip(), labels_wanted=labels, **fields)
    try:
        made.full_clean(exclude=["slug"])
    except ValidationError as error:
        raise CommandError(
            " ".join(f"{field}: {' '.join(why)}" for field, why in error.message_dict.items())
        ) from error
    made.save()
    Membership.objects.create(project=made, user=manager, role="manager")
    return made
