"""Where a model comes from, as nodes and edges: labelers → rankings → dataset → job → model, and its base models."""

from typing import Any

from django.contrib.auth import get_user_model
from django.urls import reverse

from annotation.models import Dataset
from training.models import ModelVersion, TrainingJob

LABELS = {"pairs": ("rankings", "pair")}  # what people gave, and one row of what was frozen
MOST_LABELERS = 12  # named one by one; the rest are one node
IMPORTED = "arrived ranked"
SOURCES = {
    "page": "the ranking page",
    "comparison": "comparisons",
    "import": "imports",
    "api": "the API",
    "demo": "the demo",
}


class Lineage:
    """`nodes` {key, kind, label, detail, url} in the order they were found; `edges` (from, to), source to product."""

    def __init__(self):
        self.known: dict[str, dict[str, str]] = {}
        self.edges: list[tuple[str, str]] = []

    @property
    def nodes(self) -> list[dict[str, str]]:
        return list(self.known.values())

    def add(self, kind: str, pk: Any, label: str, detail: str = "", url: str = "", makes: str = "") -> str:
        """Add a node once; `makes` is the key of what came of it."""
        key = f"{kind}-{pk}"
        self.known.setdefault(key, {"key": key, "kind": kind, "label": label, "detail": detail, "url": url})
        if makes and (key, makes) not in self.edges:
            self.edges.append((key, makes))
        return key

    def as_json(self) -> dict[str, list]:
        return {"nodes": self.nodes, "edges": [list(edge) for edge in self.edges]}


def lineage(model: ModelVersion) -> Lineage:
    """Everything behind a model, back to the weights somebody else made and the people who ranked."""
    drawn, waiting = Lineage(), [(model, "")]
    while waiting:
        version, product = waiting.pop()
        seen = f"model-{version.pk}" in drawn.known
        key = drawn.add("model", version.pk, str(version), origin(version), version.get_absolute_url(), product)
        job = None if seen else job_of(version)
        if job:
            job_key = drawn.add("job", job.pk, job.name, job.recipe, job.get_absolute_url(), key)
            add_dataset(drawn, job.dataset, job_key)
            waiting.append((job.base_model, job_key))
        elif version.base and not seen:
            waiting.append((version.base, key))
    return drawn


def job_of(model: ModelVersion) -> TrainingJob | None:
    """The job that made it: also when that job went on later, and made a newer version."""
    prefix, _, pk = model.source.partition("/")
    if prefix != "runs" or not pk.isdigit():
        return None
    return TrainingJob.objects.select_related("dataset__project", "base_model").filter(pk=pk).first()


def origin(model: ModelVersion) -> str:
    return model.get_makes_display() if model.source.startswith("runs/") else model.endpoint or model.source


def add_dataset(drawn: Lineage, dataset: Dataset, job_key: str) -> None:
    pairs = f"{dataset.rows_train} to train on, {dataset.rows_eval} held out"
    key = drawn.add("dataset", dataset.pk, dataset.name, pairs, dataset.get_absolute_url(), job_key)
    labels, row = LABELS.get(dataset.shape, ("labeled traces", "row"))
    sources = sources_of(dataset.report.get("sources", {}), row)
    url = reverse("prompts", args=[dataset.project.slug])
    rankings = drawn.add("rankings", dataset.pk, f"{dataset.ranking_count} {labels}", sources, url, key)
    add_labelers(drawn, dataset, rankings, row)


def sources_of(counts: dict[str, int], row: str = "pair") -> str:
    """
    >>> sources_of({"demo": 203}), sources_of({"page": 1, "comparison": 12}), sources_of({})
    ('203 pairs from the demo', '1 pair from the ranking page, 12 from comparisons', '')
    >>> sources_of({"monte-carlo:small-v1": 40}, "row")
    '40 rows from monte-carlo:small-v1'
    """
    parts = (
        f"{count if at else counted(count, row)} from {SOURCES.get(name, name)}"
        for at, (name, count) in enumerate(counts.items())
    )
    return ", ".join(parts)


def add_labelers(drawn: Lineage, dataset: Dataset, rankings: str, row: str) -> None:
    counts = sorted(dataset.report.get("labelers", {}).items(), key=lambda item: -item[1])
    people = get_user_model().objects.in_bulk([int(pk) for pk, _ in counts if pk.isdigit()])
    for pk, count in counts[:MOST_LABELERS]:
        person = people.get(int(pk)) if pk.isdigit() else None
        drawn.add("labeler", pk, str(person) if person else IMPORTED, counted(count, row), makes=rankings)
    if rest := counts[MOST_LABELERS:]:
        label = f"{len(rest)} more labelers"
        more = counted(sum(count for _, count in rest), row)
        drawn.add("labeler", f"rest-{dataset.pk}", label, more, makes=rankings)


def counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
