"""What workers do for annotation: an id in, one call out."""

from celery import shared_task

from annotation import counters
from annotation.freezing import freeze
from annotation.importing import ingest
from annotation.models import Dataset, Import, Project


@shared_task
def import_file(import_id: int) -> None:
    ingest.run_import(Import.objects.get(pk=import_id))


@shared_task
def freeze_dataset(dataset_id: int) -> None:
    freeze.write(Dataset.objects.get(pk=dataset_id))


@shared_task
def want_labels(project_id: int) -> None:
    counters.want_labels(Project.objects.get(pk=project_id))
