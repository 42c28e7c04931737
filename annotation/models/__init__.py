"""Projects, prompts, completions, rankings, leases and datasets: everything people say, and what is frozen from it.

Foreign keys say db_index=False where a constraint of theirs leads with the same column: one index is enough.
"""

from django.db.models import TextField
from django.db.models.functions import Length

from annotation.models.datasets import SHAPES, Dataset, DatasetQuerySet, shapes
from annotation.models.imports import Import
from annotation.models.projects import KINDS, SPLITS, Criterion, Membership, Project, ProjectQuerySet, kinds, splits
from annotation.models.prompts import Alternative, Completion, Prompt, PromptQuerySet, fingerprint
from annotation.models.rankings import RankedCompletion, Ranking, RankingQuerySet
from annotation.models.steps import StepLabels, StepLabelsQuerySet
from annotation.models.work import Draft, Lease, Skip, Tally

__all__ = [
    "Alternative", "Completion", "Criterion", "Dataset", "DatasetQuerySet", "Draft", "Import", "KINDS", "Lease",
    "Membership", "Project", "ProjectQuerySet", "Prompt", "PromptQuerySet", "RankedCompletion", "Ranking",
    "RankingQuerySet", "SHAPES", "SPLITS", "Skip", "StepLabels", "StepLabelsQuerySet", "Tally", "fingerprint",
    "kinds", "shapes", "splits",
]  # fmt: skip

TextField.register_lookup(Length)
