"""Runs whose reward is watched: made lines of steps and evaluations, in rows as a follower would keep them."""

from math import log, sqrt

from django.utils import timezone

from training.models import Metric, TrainingJob


def gold_at(kl: float) -> float:
    """Gao's curve, α 0.3 and β 0.2: its peak is at √KL = e^½, about 1.65."""
    d = sqrt(kl)
    return 0.4 + d * (0.3 - 0.2 * (log(d) if d else 0.0))


def evaluation(at: int, gold: bool = True, scale: float = 1.0) -> dict[str, float]:
    """What the evaluation after 10 · `at` steps logs."""
    kl = 0.6 * at
    values = {"eval_reward": scale * (0.3 + 0.06 * at), "eval_kl": kl, "eval_completions/mean_length": 90.0 + 4 * at}
    values |= {"eval_length_correlation": 0.2 + 0.05 * at, "eval_repetition": 0.02, "eval_repetition_correlation": -0.1}
    return values | ({"eval_gold": gold_at(kl) + 0.01 * (-1) ** at, "eval_gold_stderr": 0.02} if gold else {})


def log_run(job: TrainingJob, evaluations: int, first: int = 0, **how) -> None:
    """Ten steps' lines, then an evaluation's, for each evaluation from `first` on."""
    rows = []
    for at in range(first, evaluations):
        for step in range(10 * at - 9, 10 * at + 1) if at else ():
            values = {"loss": 0.1, "reward": 0.3, "entropy": 0.8 - 0.004 * step, "objective/kl": 0.06 * step}
            rows.append((step, values | {"completions/mean_length": 95.0, "completions/self_corrections": 0.25}))
        rows.append((10 * at, evaluation(at, **how)))
    line = job.metrics.count()
    Metric.objects.bulk_create(
        Metric(job=job, line=line + n, step=step, time=1e9 + line + n, values=values)
        for n, (step, values) in enumerate(rows)
    )
    latest = dict(job.latest)
    for _, values in rows:
        latest |= values
    job.latest = latest
    known = {"latest": latest, "step": rows[-1][0], "total": 200, "heartbeat": timezone.now()}
    TrainingJob.objects.filter(pk=job.pk).update(**known)
