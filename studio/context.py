"""What every page knows: the person's projects, jobs running, queues nobody listens to."""

from django.utils.functional import SimpleLazyObject

from annotation.models import Project
from studio.models import WorkerBeat
from training.models import TrainingJob


def chrome(request) -> dict:
    """Lazy values for the rail, so that a fragment which shows none of them asks for none."""
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return {}
    return {
        "my_projects": SimpleLazyObject(lambda: list(Project.objects.visible_to(user).distinct())),
        "jobs_running": SimpleLazyObject(lambda: TrainingJob.objects.visible_to(user).unfinished().distinct().count()),
        "silent_queues": SimpleLazyObject(lambda: {"default", "train"} - WorkerBeat.listening()),
    }
