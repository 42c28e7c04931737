"""List projects, or make one: studio project "Name" [--labels 2]."""

from annotation.models import Membership, Project
from studio.commands import Verb, acting_user


class Command(Verb):
    help = __doc__

    def arguments(self, parser) -> None:
        parser.add_argument("name", nargs="?", help="name of a project to make")
        parser.add_argument("--labels", type=int, default=1, help="labels each prompt gets")

    def handle(self, name: str | None, labels: int, user: str | None, **options) -> None:
        if name:
            made = Project.objects.create(name=name, labels_wanted=labels)
            Membership.objects.create(project=made, user=acting_user(user), role="manager")
            return self.emit({"slug": made.slug}, f"Made {made.slug}.")
        rows = list(Project.objects.values("slug", "name", "kind", "prompt_count", "labels_wanted"))
        lines = [f"{row['slug']:<32}{row['prompt_count']:>9} prompts  {row['name']}" for row in rows]
        self.emit(rows, "\n".join(lines) or 'No project yet: studio project "My first project"')
