"""A training from launch to its model, and every way it may be ended or go wrong."""

from tests.training.engine import ended


def test_a_launched_job_is_trained_by_a_worker_and_its_model_is_registered(launch_words, start_worker):
    start_worker()
    job = ended(launch_words(max_steps=8))
    assert (job.status, job.step, job.total, job.attempts) == ("succeeded", 8, 8, 1), job.error
    assert job.model.status == "ready" and str(job.model) == "Manners v1" and job.model.makes == "reward_model"
    assert job.model.parameters > 5 and len(job.model.sha256) == 64
    assert job.metrics.count() == 8 and job.samples.get().completion == "Thank you, gladly."
    assert job.latest["accuracy"] == 1.0 and "attempt 1" in job.log
