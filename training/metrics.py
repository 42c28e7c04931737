"""A job's metrics as curves: kept thinned, brought up to date a bounded piece at a time."""

from dataclasses import dataclass

from training.curves import Curve, extend, panels
from training.models import Curves, Metric, TrainingJob

PIECE = 4_000  # lines one request reads at most; a page asks again while it is behind
KEEP_EVERY = 500  # lines; fewer are read again rather than written down


@dataclass
class Snapshot:
    curves: dict[str, Curve]
    line: int  # the last one counted in
    behind: bool  # there are more

    def as_json(self) -> dict:
        series = {name: curve.columns() for name, curve in self.curves.items()}
        return {"line": self.line, "behind": self.behind, "series": series, "panels": panels(self.curves)}


def snapshot(job: TrainingJob, piece: int = PIECE) -> Snapshot:
    """Everything so far, at most 2 × BUCKETS points a series; reads at most `piece` new lines."""
    kept = Curves.objects.filter(job=job).first() or Curves(job=job)
    rows = lines_after(job, kept.line, piece)
    curves = {name: Curve(*stored) for name, stored in kept.data.items()}
    extend(curves, (row[1:] for row in rows))
    line = rows[-1][0] if rows else kept.line
    if len(rows) >= KEEP_EVERY:
        keep(job, kept.line, line, curves)
    return Snapshot(curves, line, behind=len(rows) == piece)


def since(job: TrainingJob, line: int) -> Snapshot:
    """Only what came after `line`, unthinned, to be appended to what a page already shows."""
    rows = lines_after(job, line, PIECE)
    curves: dict[str, Curve] = {}
    extend(curves, (row[1:] for row in rows))
    return Snapshot(curves, rows[-1][0] if rows else line, behind=len(rows) == PIECE)


def lines_after(job: TrainingJob, line: int, piece: int) -> list[tuple]:
    found = Metric.objects.filter(job=job, line__gt=line).order_by("line")
    return list(found.values_list("line", "step", "time", "values")[:piece])


def keep(job: TrainingJob, before: int, line: int, curves: dict[str, Curve]) -> None:
    """Store the thinned curves, unless someone else got further meanwhile."""
    data = {name: curve.as_json() for name, curve in curves.items()}
    if before < 0:
        Curves.objects.get_or_create(job=job, defaults={"line": line, "data": data})
    else:
        Curves.objects.filter(job=job, line=before).update(line=line, data=data)


def catch_up(job: TrainingJob) -> None:
    """Thin everything that has come in, so that the next page finds it done. Call while following a job."""
    while snapshot(job).behind:
        pass
