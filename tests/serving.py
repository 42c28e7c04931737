"""Fixtures of a model server that really runs, with tiny models registered in the studio."""

import pytest

from tests.tiny import tiny_model
from tests.training.server.conftest import running, tiny_reward_model, tiny_step_model
from training.models import ModelVersion

TOKEN = "the-model-server's-own-token"


@pytest.fixture(scope="session")
def served(tmp_path_factory):
    """A model server with two policies that answer at random, a reward model, and scorers of steps and of answers."""
    root = tmp_path_factory.mktemp("served")
    lively = {"tie_word_embeddings": False, "initializer_range": 0.3}
    tiny_model(root / "small-v1", **lively)
    tiny_model(root / "wide-v1", hidden_size=128, **lively)
    tiny_reward_model(root / "taste-v1", root / "small-v1")
    tiny_step_model(root / "steps-v1", root / "small-v1")
    tiny_step_model(root / "answers-v1", root / "small-v1", "SequenceClassification")
    with running(root, TOKEN) as server:
        yield server


@pytest.fixture
def registered(served, db, settings):
    """The served models as versions everybody may use."""
    settings.MODEL_SERVER_URL, settings.SERVER_TOKEN = served.url, TOKEN
    made = {}
    kinds = {"small": "policy", "wide": "policy", "taste": "reward_model"}
    kinds |= {"steps": "process_reward_model", "answers": "outcome_reward_model"}
    for name, makes in kinds.items():
        made[name] = ModelVersion.objects.create(name=name, version=1, slug=f"{name}-v1", makes=makes)
    return made
