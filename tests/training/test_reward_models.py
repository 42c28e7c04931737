"""A run rewarded by our own models: named in its settings, found before the launch, at hand when it trains."""

import json

import pytest

from annotation.freezing.freeze import freeze
from annotation.models import Project, Prompt, fingerprint
from annotation.store import store
from tests.tiny import tiny_model
from training.jobs import BadJob, launch, run_job
from training.models import ModelVersion
from training.registry import register_folder

QUICK = {"max_steps": 2, "max_completion_length": 8, "max_length": 128, "per_device_train_batch_size": 4}
QUICK |= {
    "eval_on_start": False,
    "eval_prompts": 1,
    "gradient_accumulation_steps": 1,
    "num_generations": 4,
    "lora": False,
    "save_steps": 0,
    "sample_every": 1,
}


@pytest.fixture
def sums(clean_home, project):
    for at in range(8):
        messages = [{"role": "user", "content": f"What is {at} + {at}?"}]
        Prompt.objects.create(
            project=project,
            messages=messages,
            text=str(messages),
            fingerprint=fingerprint(messages),
            reference=str(2 * at),
        )
    return freeze(project, "Sums", background=False, shape="prompts")


@pytest.fixture
def policy(clean_home, alice, tmp_path):
    return register_folder(tiny_model(tmp_path / "tiny"), name="Tiny", user=alice)


@pytest.fixture
def judge(clean_home, alice, tmp_path):
    """A reward model with a head at random."""
    from training.recipes import weights

    base = tiny_model(tmp_path / "judge-base")
    tokenizer = weights.load_tokenizer(str(base))
    model = weights.load_scorer(str(base), "float32", tokenizer.pad_token_id)
    model.score.weight.data.normal_()
    model.save_pretrained(tmp_path / "judge")
    tokenizer.save_pretrained(tmp_path / "judge")
    return register_folder(tmp_path / "judge", name="Taste", user=alice, makes="reward_model")


@pytest.mark.training
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("recipe", ["ppo", pytest.param("grpo", marks=pytest.mark.long)])
def test_a_launched_run_is_rewarded_by_a_model_and_a_verifier(alice, sums, policy, judge, recipe):
    rewards = f"math 1; reward_model:{judge.slug} 0.1; length -0.1"
    job = launch(alice, sums, recipe, policy, QUICK | {"rewards": rewards})
    run_job(job)
    job.refresh_from_db()
    assert job.status == "succeeded", job.error
    config = json.loads((store().work(job.run_dir) / "config.json").read_text())
    assert list(config["models"]) == [judge.slug] and config["models"][judge.slug].endswith(f"models/{judge.slug}")
    sample = job.samples.first()
    assert {"math", f"reward_model:{judge.slug}", "length", "advantage"} <= sample.parts.keys()
    model = ModelVersion.objects.get(base=policy)
    assert model.makes == "policy" and model.status == "ready"
    assert "rewards/math/mean" in job.metrics.get(step=1).values


@pytest.mark.django_db(transaction=True)
def test_a_reward_by_a_model_that_cannot_be_used_is_refused_before_the_launch(alice, sums, policy, judge):
    def refused(rewards):
        with pytest.raises(BadJob) as caught:
            launch(alice, sums, "ppo", policy, QUICK | {"rewards": rewards})
        return str(caught.value)

    unknown = refused("reward_model:other-v1 1")
    assert "There is no model other-v1" in unknown and judge.slug in unknown
    assert "is of the kind policy" in refused(f"reward_model:{policy.slug} 1")
    assert "which this reward cannot ask" in refused(f"prm:{judge.slug} 1")
    ModelVersion.objects.filter(pk=judge.pk).update(project=Project.objects.create(name="Someone else's"))
    assert "There is no model" in refused(f"reward_model:{judge.slug} 1")
    ModelVersion.objects.filter(pk=judge.pk).update(project=None, status="failed")
    assert "models that are ready here" in refused(f"reward_model:{judge.slug} 1")
