"""The `studio` command: `studio VERB --help` tells what a verb takes; without a verb it lists them."""

import os
import sys
from importlib import import_module

VERBS = {
    "Run": ["up", "demo", "web", "worker", "trainer", "server", "beats", "settings", "migrate", "createsuperuser"],
    "Label": ["project", "import", "generate", "label", "freeze", "export"],
    "Train": ["train", "jobs"],
    "Models": ["models", "score", "compare", "search"],
}
DJANGO = {"migrate": "Bring the database to this version.", "createsuperuser": "Make an admin."}


def overview() -> str:
    """One line a verb, taken from the verb itself."""
    lines = ["studio VERB [--json] …"]
    for heading, verbs in VERBS.items():
        lines += ["", heading]
        for verb in verbs:
            text = DJANGO.get(verb) or import_module(f"studio.management.commands.{verb}").__doc__
            lines.append(f"  {verb:<16} {text.strip().splitlines()[0]}")
    return "\n".join(lines)


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "studio.settings")
    from django.core.management import execute_from_command_line

    if len(sys.argv) == 1 or sys.argv[1:] in (["help"], ["--help"], ["-h"]):
        import django

        django.setup()
        print(overview())
        return
    execute_from_command_line(["studio", *sys.argv[1:]])


if __name__ == "__main__":
    main()
