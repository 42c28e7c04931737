"""What workers do for annotation: an id in, one call out."""

from celery import shared_task

from annotation import freeze, ingest
from annotation.models import Dataset, Import


@shared_task
def import_file(import_id: int) -> None:
    ingest.run_import(Import.objects.get(pk=import_id))


@shared_task
def freeze_dataset(dataset_id: int) -> None:
    freeze.write(Dataset.objects.get(pk=dataset_id))
