"""Fixtures of a model server that really runs, with tiny models registered in the studio."""

import pytest

from tests.tiny import tiny_model
from tests.training.server.conftest import running, tiny_reward_model
from training.models import ModelVersion

TOKEN = "the-model-server's-own-token"


@pytest.fixture(scope="session")
def served(tmp_path_factory):
    """A model server with two policies that answer at random and a reward model."""
    root = tmp_path_factory.mktemp("served")
    lively = {"tie_word_embeddings": False, "initializer_range": 0.3}
    tiny_model(root / "small-v1", **lively)
    tiny_model(root / "wide-v1", hidden_size=128, **lively)
    tiny_reward_model(root / "taste-v1", root / "small-v1")
    with running(root, TOKEN) as server:
        yield server


@pytest.fixture
def registered(served, db, settings):
    """The served models as versions everybody may use."""
    settings.MODEL_SERVER_URL, settings.SERVER_TOKEN = served.url, TOKEN
    made = {}
    for name, makes in (("small", "policy"), ("wide", "policy"), ("taste", "reward_model")):
        made[name] = ModelVersion.objects.create(name=name, version=1, slug=f"{name}-v1", makes=makes)
    return made
