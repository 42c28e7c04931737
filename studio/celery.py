"""The Celery app: workers find its tasks in annotation.tasks and training.tasks, and beat while they live."""

import os

from celery import Celery
from celery.signals import worker_ready, worker_shutting_down

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "studio.settings")
app = Celery("studio")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@worker_ready.connect
def begin(sender, **_) -> None:
    from studio import beats

    beats.start(sender)


@worker_shutting_down.connect
def finish(**_) -> None:
    from studio import beats

    beats.stop()
