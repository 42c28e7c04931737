"""Everything one project can hold, for tests that walk every page."""

import pytest

from annotation.models import (
    Criterion,
    Dataset,
    Import,
    Project,
    RankedCompletion,
    Ranking,
    Skip,
    StepLabels,
)
from studio.models import ApiToken
from training.models import (
    Answer,
    Comparison,
    CompletionRun,
    Metric,
    ModelVersion,
    Preflight,
    RewardTrial,
    Sample,
    SearchEvaluation,
    SearchRun,
    StepLabelRun,
    Strategy,
    TrainingJob,
)
from training.rollouts import row_of
from training.search import search
from training.search_draw import Move, Scored, Settings
from training.searching import KNOBS


@pytest.fixture
def world(project, make_prompt, make_trace, alice, bob):
    """One of everything in alice's projects, in states whose pages show the most."""
    prompt, other = make_prompt(wanted=3), make_prompt("And of Chile?")
    Criterion.objects.create(project=project, name="Honest", description="Says what is so")
    ranking = Ranking.objects.create(prompt=prompt, labeler=bob, comment="Because.")
    for rank, completion in enumerate(prompt.completions.all(), 1):
        RankedCompletion.objects.create(ranking=ranking, completion=completion, rank=rank, shown=rank)
    Skip.objects.create(prompt=other, labeler=bob, reason="other", comment="No.")
    dataset = Dataset.objects.create(
        project=project, slug="frozen", name="Frozen", status="failed", message="Too small"
    )
    kept = Dataset.objects.create(project=project, slug="kept", name="Kept", status="ready", rows_train=1)
    model = ModelVersion.objects.create(name="ours", slug="ours-v1", project=project, created_by=alice, notes="Ours")
    second = ModelVersion.objects.create(
        name="theirs", slug="theirs-v1", project=project, status="failed", message="No"
    )
    ModelVersion.objects.create(name="base", slug="base-v1")
    job = TrainingJob.objects.create(
        name="dpo", project=project, dataset=kept, recipe="dpo", base_model=model, created_by=alice, status="failed",
        settings={"rollouts_kept": 8}, latest={"eval_reward": 0.5, "eval_kl": 1.0},
        error={"class": "crash", "message": "It broke", "advice": "Mend it"}, log="last words",
        alarms=[{"kind": "nan", "step": 1, "message": "NaN", "advice": "Lower it"}],
    )  # fmt: skip
    messages = [{"role": "user", "content": "Hello?"}]
    Sample.objects.create(job=job, line=0, step=1, prompt=messages, completion="Hi.")
    watched = {"eval_reward": 0.5, "eval_kl": 1.0, "eval_gold": 0.4}
    Metric.objects.create(job=job, line=0, step=1, time=1.0, values={"loss": 1.0} | watched)
    drawn = {"completion": "Hi.", "reward": 1.0, "parts": {"exact": 1.0}, "why": {"exact": "equal"}, "tokens": 2}
    rollouts = row_of(job, 0, {"step": 1, "prompt": messages, "completions": [drawn], "reference": "4"})
    rollouts.save()
    comparison = Comparison.objects.create(created_by=alice, project=project, messages=messages, blind=False)
    for column, which in enumerate((model, second)):
        Answer.objects.create(comparison=comparison, column=column, model=which, text="Hi.", seconds=1, tokens=1)
    run = CompletionRun.objects.create(project=project, model=model, status="failed", message="Away", created_by=alice)
    labeling = StepLabelRun.objects.create(project=project, kind="verifier", source="arithmetic", status="failed")
    came = Import.objects.create(
        project=project, name="a.jsonl", file="a", status="failed", message="Bad", created_by=alice,
        problems=[{"row": 1, "reason": "not JSON"}], bad=1,
    )  # fmt: skip
    preflight = Preflight.objects.create(
        dataset=kept, recipe="dpo", base_model=model, created_by=alice, status="failed", message="Gone"
    )
    ApiToken.issue(alice, "notebook")
    tried = {"prompt": messages, "completion": "Hi.", "row": {"reference": "4"}}
    trial = RewardTrial.objects.create(
        rewards="exact 1", items=[tried], status="failed", message="Away", created_by=alice
    )
    searched = search_and_evaluation(alice, model, messages)
    return {
        "project": project.slug, "prompt": prompt.pk, "dataset": dataset.slug, "model": model.slug, "job": job.pk,
        "import": came.pk, "comparison": comparison.pk, "run": run.pk, "preflight": preflight.pk,
        "labeling": labeling.pk, "trial": trial.pk, "rollouts": rollouts.pk,
    } | searched | {"steps": of_steps(make_trace, alice, bob)}  # fmt: skip


def of_steps(make_trace, alice, bob) -> dict:
    """What a project of kind `steps` holds: a trace that people and machines labeled, a model that scores traces."""
    trace = make_trace(wanted=3, metadata={"tests": "assert True"})
    project = trace.project
    answer = trace.completions.get()
    answer.alternatives.create(step=1, text="12 + 5 = 17", source="starter v1")
    StepLabels.objects.create(
        prompt=trace, kind="verifier", source="arithmetic", ratings=[1, -1], scores=[0.9, 0.2], errors=[0.1, 0.1],
        notes={"1": "12 + 5 = 17, not 18"},
    )  # fmt: skip
    StepLabels.objects.create(prompt=trace, kind="model", source="prm-v1", scores=[0.8, 0.3, 0.2], ratings=[1, -1, -1])
    Project.objects.filter(pk=project.pk).update(proposals=["verifier:arithmetic", "model:prm-v1"])
    rewrite = {"1": {"text": "12 + 5 = 17", "source": ""}}
    said = {"proposed": {"verifier:arithmetic": {"0": "accepted"}}, "rewrites": rewrite, "flagged": [1]}
    for labeler, ratings in ((alice, [1, -1, 0]), (bob, [1, 1, 1])):
        StepLabels.objects.create(prompt=trace, labeler=labeler, ratings=ratings, comment="Because.", **said)
    model = ModelVersion.objects.create(
        name="prm", slug="prm-v1", makes="process_reward_model", project=project, created_by=alice
    )
    how = {"project": project, "model": model, "created_by": alice, "message": "Away", "status": "failed"}
    labeling = StepLabelRun.objects.create(kind="model", source="prm-v1", **how)
    run = CompletionRun.objects.create(**how)
    dataset = Dataset.objects.create(
        project=project, slug="marked", name="Marked", shape="stepwise", status="failed", message="Too small"
    )
    came = Import.objects.create(
        project=project, name="b.jsonl", file="b", status="failed", message="Bad", created_by=alice
    )
    return {
        "project": project.slug, "prompt": trace.pk, "model": model.slug, "labeling": labeling.pk, "run": run.pk,
        "dataset": dataset.slug, "import": came.pk,
    }  # fmt: skip


def search_and_evaluation(user, model, messages) -> dict:
    """A search with its tree, an evaluation with its points, and a strategy to ask."""
    grown = search(
        "beam",
        lambda asks: [[Move([f"Step {i}."], 3, "finished" if ask.steps else "step") for i in range(4)] for ask in asks],
        lambda traces: [Scored([0.2, 0.9][: len(trace)]) for trace in traces],
        Settings(n=4),
    )
    how = {"policy": model, "scorer": model, "settings": KNOBS, "created_by": user}
    ended = {"status": "failed", "message": "Away"}
    run = SearchRun.objects.create(
        messages=messages, reference="4", strategy="beam", result=grown.as_json(), **how, **ended
    )
    point = {"strategy": "beam", "n": 4, "accuracy": 0.5, "low": 0.4, "high": 0.6, "tokens": 9.0, "problems": 2}
    evaluation = SearchEvaluation.objects.create(
        name="Two", problems=[], strategies=["beam"], ns=[4], points=[point], **how, **ended
    )
    strategy = Strategy.objects.create(name="Beam", strategy="beam", **how)
    return {"search": run.pk, "evaluation": evaluation.pk, "strategy": strategy.pk}
