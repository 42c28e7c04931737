"""Sums to label, and an endpoint that can add."""

import pytest

from tests.training.labeling.adder import TERMS, Adder, flawed
from training.labeling import runs
from training.models import ModelVersion, StepLabelRun


@pytest.fixture
def adder(db, settings):
    """A model version whose skill is known; `adder.server` tells what it was asked."""
    settings.PRIVATE_ENDPOINTS = True
    server = Adder()
    made = ModelVersion.objects.create(name="adder", slug="adder-v1", endpoint=server.url, endpoint_model="adder")
    made.server = server
    yield made
    server.mute = False
    server.shutdown()
    server.server_close()


@pytest.fixture
def sums(make_trace):
    """Solutions of one sum whose first errors are at 2, nowhere, 0 and 4 (the answer itself)."""
    return [make_trace(f"{TERMS[0]}{' ' * at}", flawed(first), reference="15") for at, first in enumerate(ERRORS)]


ERRORS = (2, None, 0, 4)


@pytest.fixture
def label(traces, alice):
    """Queue a run and do it here and now."""

    def label(kind, model=None, given=None, ends="succeeded", **more):
        run = runs.queue_run(traces, kind, model, given or {}, alice, **more)
        runs.run_labeling(StepLabelRun.objects.get(pk=run.pk))
        run.refresh_from_db()
        assert run.status == ends, run.message
        return run

    return label
