"""The demo: load a ranked project, train a reward model and a DPO policy from it, compare, print what came of it."""

import asyncio
import os
import socket
import subprocess
import sys
import time
from contextlib import suppress
from urllib.parse import urlsplit

from django.conf import settings

from annotation.demo import load_demo
from annotation.freezing.freeze import freeze, held_out_prompts
from annotation.models import Dataset, Project
from studio.commands import acting_user
from training.headtohead import play
from training.jobs import launch
from training.models import ModelVersion, TrainingJob
from training.registry import register_folder

STARTER = "SmolLM2-135M-Instruct"
STEPS = {"reward_model": 50, "dpo": 90}  # on top of the small preset: part of the pairs, for a short wait
SAMPLING = {"n": 2, "temperature": 1.0, "top_p": 1.0, "max_tokens": 64, "seed": 7}  # what each model itself would say


class Progress:
    """One line when a step starts, one every few seconds while it runs, one when it ends."""

    def __init__(self):
        self.begun = time.monotonic()

    def start(self, title: str) -> None:
        self.title, self.started, self.said = title, time.monotonic(), time.monotonic()
        print(f"· {title}", flush=True)

    def at(self, done: float, total: float, eta: float | None = None) -> None:
        """Say how far the step is, at most every five seconds."""
        now = time.monotonic()
        if not total or now - self.said < 5:
            return
        self.said = now
        filled = round(20 * done / total)
        left = eta if eta is not None else (now - self.started) * (total - done) / max(done, 1)
        print(f"    {'█' * filled}{'·' * (20 - filled)} {done:.0f}/{total:.0f}, about {left:.0f} s left", flush=True)

    def end(self, text: str) -> None:
        print(f"  ✓ {text}  ({time.monotonic() - self.started:.0f} s)", flush=True)


def starter_model(user, progress: Progress) -> ModelVersion:
    """The model everything starts from, put into the models folder once."""
    slug = "smollm2-135m-instruct-v1"
    if found := ModelVersion.objects.filter(slug=slug, status="ready").first():
        return found
    progress.start(f"starter model {STARTER} (once)")
    folder = settings.HOME / "models" / slug
    quiet = os.environ | {"TQDM_DISABLE": "1", "PIP_QUIET": "2"}
    command = [sys.executable, "-m", "training.recipes.starter", str(folder)]
    subprocess.run(command, check=True, cwd=settings.BASE_DIR, env=quiet)
    model = register_folder(folder, name=STARTER, makes="policy", user=user)
    model.source = f"HuggingFaceTB/{STARTER}"
    model.save(update_fields=["source"])
    progress.end(f"{model} in {folder}")
    return model


def frozen(project: Project, user, progress: Progress) -> Dataset:
    """The demo's rankings as a dataset; the same labels freeze to the same one."""
    if found := project.datasets.filter(status="ready").order_by("created").first():
        return found
    progress.start("freeze the rankings into pairs")
    dataset = freeze(project, name="Demo pairs", options={"eval_share": 0.2}, user=user)
    while dataset.status == "freezing":
        time.sleep(0.3)
        dataset.refresh_from_db()
        progress.at(dataset.done, dataset.total)
    if dataset.status == "failed":
        raise SystemExit(f"Freezing failed: {dataset.message}")
    progress.end(f"{dataset.rows_train} pairs to train on, {dataset.rows_eval} held out")
    return dataset


def trained(recipe: str, dataset: Dataset, base: ModelVersion, user, progress: Progress) -> TrainingJob:
    """The demo's job of this recipe, launched once and followed to its end."""
    from training.recipes import recipe as recipe_module

    name = f"demo-{recipe.replace('_', '-')}"
    job = TrainingJob.objects.filter(name=name, project=dataset.project).exclude(status="failed").first()
    if job and job.status == "succeeded":
        return job
    progress.start(f"train {recipe.replace('_', ' ')} on {dataset.rows_train} pairs")
    settings = recipe_module(recipe).PRESETS["small"] | {"max_steps": STEPS[recipe]}
    job = job or launch(user, dataset, recipe, base, settings, name=name)
    while not job.ended:
        time.sleep(0.5)
        job.refresh_from_db()
        progress.at(job.step, job.total, job.eta)
    if job.status != "succeeded":
        error = job.error or {"message": job.status, "advice": ""}
        raise SystemExit(f"{recipe} did not finish: {error['message']} {error['advice']}")
    progress.end(f"{job.model}: {headline(job)}")
    return job


def final(job: TrainingJob, metric: str) -> float:
    metrics = (job.result or {}).get("metrics", {})
    return metrics.get(f"eval_{metric}", metrics.get(metric, float("nan")))


def headline(job: TrainingJob) -> str:
    if job.recipe == "dpo":
        return f"held-out margin {final(job, 'rewards/margins'):+.3f}"
    return f"held-out accuracy {final(job, 'accuracy'):.2f}"


def unseen_prompts(dataset: Dataset) -> list[list[dict]]:
    """Chats no training saw: the held-out ones, and the demo's prompts that wait for the visitor."""
    waiting = dataset.project.prompts.filter(origin="demo", rankings=None).order_by("pk")
    return held_out_prompts(dataset) + list(waiting.values_list("messages", flat=True))


def server_up(seconds: float = 60) -> None:
    """The model server starts beside the demo, and a demo begun again can need it before it listens."""
    end = time.monotonic() + seconds
    address = urlsplit(settings.MODEL_SERVER_URL)
    while time.monotonic() < end:
        with suppress(OSError), socket.create_connection((address.hostname, address.port or 80), timeout=1):
            return
        time.sleep(0.3)
    raise SystemExit(f"The model server at {settings.MODEL_SERVER_URL} did not start; see {settings.HOME / 'logs'}.")


def compared(policy: ModelVersion, base: ModelVersion, scorer: ModelVersion, dataset: Dataset, progress: Progress):
    """Win rate of the trained policy over its base on prompts no training saw; kept with the policy."""
    if "win_rate" not in policy.metrics:
        prompts = unseen_prompts(dataset)
        progress.start(f"answer {len(prompts)} held-out prompts with both models")
        server_up()
        share = asyncio.run(play(policy, base, scorer, prompts, progress.at, **SAMPLING))
        policy.metrics["win_rate"] = share.__dict__ | {"base": base.slug, "scorer": scorer.slug, "sampling": SAMPLING}
        policy.save(update_fields=["metrics"])
        progress.end(f"win rate {share}")
    return policy.metrics["win_rate"]


def show() -> None:
    """Do every step that was not done before, then print the table."""
    user, progress = acting_user(None), Progress()
    base = starter_model(user, progress)
    project = load_demo(user)
    dataset = frozen(project, user, progress)
    reward = trained("reward_model", dataset, base, user, progress)
    dpo = trained("dpo", dataset, base, user, progress)
    win = compared(dpo.model, base, reward.model, dataset, progress)
    print(table(dataset, reward, dpo, win))
    print(f"\nThe studio runs at http://127.0.0.1:{os.environ.get('STUDIO_PORT', settings.PORT)}  (Ctrl+C stops it)")


def table(dataset: Dataset, reward: TrainingJob, dpo: TrainingJob, win: dict) -> str:
    """What came of the demo, as a small table of measured figures."""
    rate = f"{win['value']:.0%} [{win['low']:.0%}, {win['high']:.0%}]"
    rows = [
        ("rankings", f"{dataset.ranking_count}"),
        ("pairs", f"{dataset.rows_train} to train on, {dataset.rows_eval} held out"),
        ("reward model, held-out accuracy", f"{final(reward, 'accuracy'):.2f}"),
        ("DPO, held-out reward margin", f"{final(dpo, 'rewards/margins'):+.3f}"),
        ("DPO over its base, win rate by the reward model", f"{rate} on {win['count']} held-out prompts"),
    ]
    width = max(len(name) for name, _ in rows)
    return "\n" + "\n".join(f"  {name:<{width}}   {value}" for name, value in rows)
