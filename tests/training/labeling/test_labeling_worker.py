"""A worker that is killed in the middle of a run of labels: the next one goes on, and asks nothing twice."""

import pytest
from django.utils import timezone

from annotation.models import StepLabels
from tests.training.conftest import clean_home, start_worker, worker_env  # noqa: F401
from tests.training.engine import wait_for
from training import wake
from training.background import SILENT
from training.labeling import runs
from training.labeling.monte_carlo import AT_ONCE
from training.models import StepLabelRun

TRACES = 24
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.long]


def test_a_killed_worker_loses_nothing_and_nothing_is_done_twice(make_trace, adder, traces, alice, start_worker):  # noqa: F811
    for at in range(TRACES):
        steps = ["1 + 2 = 3", "3 + 3 = 6", f"6 + {at} = {6 + at}"]
        make_trace(f"What is 1 + 2 + 3 + {at}?", steps, reference=str(6 + at))
    adder.server.rest = 0.4
    worker = start_worker("first", "default", STUDIO_PRIVATE_ENDPOINTS="1")
    run = runs.queue_run(traces, "monte-carlo", adder, {"n": 2, "verifier": "last_number"}, alice)
    wait_for(lambda: len(labels()) > 3, 60, "the run to be under way")
    worker.kill()
    kept = labels()
    assert len(kept) < TRACES
    assert StepLabelRun.objects.get().status == "running"
    StepLabelRun.objects.update(heartbeat=timezone.now() - 2 * SILENT)
    start_worker("second", "default", STUDIO_PRIVATE_ENDPOINTS="1")
    wake.send("training.tasks.label_steps", run.pk)
    wait_for(lambda: StepLabelRun.objects.get().ended, 60, "the second worker to finish")
    run.refresh_from_db()
    assert (run.status, run.done) == ("succeeded", TRACES)
    assert labels().keys() == set(traces.prompts.values_list("pk", flat=True)) and kept.items() <= labels().items()
    again = len(adder.server.asked) - TRACES * 3
    assert 0 <= again <= AT_ONCE * 3, "only what was under way when it was killed is asked again"


def labels() -> dict[int, int]:
    return dict(StepLabels.objects.filter(kind="monte-carlo").values_list("prompt", "pk"))
