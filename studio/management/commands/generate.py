"""Ask a model: studio generate MODEL "message", or --project P to answer prompts that lack completions."""

import asyncio

from django.core.management.base import CommandError

from studio.commands import Verb, acting_user, model_named, project_named
from training import completing, serving


class Command(Verb):
    help = __doc__

    def arguments(self, parser) -> None:
        parser.add_argument("model")
        parser.add_argument("message", nargs="?")
        parser.add_argument("--project", help="answer what this project's prompts lack instead, here and now")
        parser.add_argument("--n", type=int, default=1, help="answers a prompt")
        parser.add_argument("--temperature", type=float, default=0.7)
        parser.add_argument("--top-p", type=float, default=0.95)
        parser.add_argument("--max-tokens", type=int, default=256)
        parser.add_argument("--seed", type=int)

    def handle(self, model: str, message: str | None, project: str | None, n: int, user: str | None, **options) -> None:
        sampling = {key: options[key] for key in ("temperature", "top_p", "max_tokens", "seed")}
        if project:
            return self.answer_project(model_named(model), project_named(project), n, sampling, acting_user(user))
        if not message:
            raise CommandError("Give a message to answer, or --project.")
        turn = [{"role": "user", "content": message}]
        try:
            answers = asyncio.run(serving.chat(model_named(model), turn, n=n, **sampling))
        except serving.ServingError as error:
            raise CommandError(str(error)) from error
        self.emit(answers, "\n\n".join(answer["text"] for answer in answers))

    def answer_project(self, model, project, n: int, sampling: dict, user) -> None:
        try:
            run = completing.queue_run(project, model, max(n, 1 if project.kind == "steps" else 2), sampling, user)
        except completing.NothingToDo as error:
            return self.emit({"done": 0}, str(error))
        completing.run_completions(run)
        run.refresh_from_db()
        unit = "problems" if project.kind == "steps" else "prompts"
        self.emit({"status": run.status, "done": run.done}, f"{run.status}: {run.done} {unit}. {run.message}".strip())
