"""Launching a training and following it in a real browser: live curves that stop when it ends, and no script at all."""

import json
import math
import re
import time
from urllib.parse import urljoin

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from annotation.models import Dataset
from annotation.store import store
from tests.e2e.browser import eventually
from tests.tiny import tiny_model
from training import preflights
from training.models import Metric, ModelVersion, Preflight, Sample, TrainingJob

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
pytest_plugins = ["tests.training.pages"]

RUN = re.compile(r"/train/\d+/$")


@pytest.fixture
def visit(open_page, alice, project):
    """Open a page as alice, on a window a little higher than usual."""
    return lambda path, **options: open_page(alice, path, **({"viewport": {"width": 1280, "height": 900}} | options))


@pytest.fixture
def ready(pairs_dataset, alice):
    """Rows and a model, so that a check finds something."""
    turn = {
        "prompt": ("user", "Are you there?"),
        "chosen": ("assistant", "Yes, gladly."),
        "rejected": ("assistant", "No."),
    }
    row = json.dumps({key: [{"role": role, "content": content}] for key, (role, content) in turn.items()}) + "\n"
    folder = store().work(pairs_dataset.folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "train.jsonl").write_text(row * 30)
    (folder / "eval.jsonl").write_text("")
    Dataset.objects.filter(pk=pairs_dataset.pk).update(rows_train=30)
    model = ModelVersion.objects.create(name="Tiny", slug="tiny-v1", created_by=alice)
    tiny_model(store().work(model.folder))


def log_steps(job: TrainingJob, first: int, last: int) -> None:
    """What a trainer writes while it follows a run."""
    rows = [
        Metric(job=job, line=step, step=step, time=1e9 + step, values={
            "loss": math.exp(-step / 50), "rewards/accuracies": 0.5,
            "logps/chosen": -9.0, "logps/rejected": -9 - step / 9,
        })
        for step in range(first, last + 1)
    ]  # fmt: skip
    Metric.objects.bulk_create(rows)
    TrainingJob.objects.filter(pk=job.pk).update(step=last, total=100, status="running", heartbeat=timezone.now())


def test_choose_check_launch_and_watch_it_end(visit, ready):
    page = visit("/train/new/")
    page.get_by_label("max_length").fill("700")
    page.get_by_label("Smoke: does it run at all?").check()
    expect(page.get_by_label("max_steps")).to_have_value("4")
    expect(page.get_by_label("max_length")).to_have_value("1024")
    page.get_by_role("button", name="Check").click()
    expect(page.get_by_text("waiting for a worker")).to_be_visible()
    preflights.run(Preflight.objects.get())
    expect(page.get_by_text("no held-out rows")).to_be_visible()
    expect(page.locator(".tokens .learned").first).to_be_visible()

    page.get_by_role("button", name="Launch", exact=True).click()
    expect(page.get_by_text("Read the warnings and tick the box")).to_be_visible()
    page.get_by_label("I have read the warnings").check()
    page.get_by_role("button", name="Launch", exact=True).click()
    page.wait_for_url(RUN)
    expect(page.get_by_text("Next in the queue")).to_be_visible()

    job = TrainingJob.objects.get()
    log_steps(job, 1, 40)
    expect(page.get_by_text("step 40 of 100")).to_be_visible()
    expect(page.locator(".charts figure canvas")).to_have_count(3)
    page.locator(".charts figure summary").first.click()
    numbers = page.locator(".charts figure").first.locator("tbody tr")
    expect(numbers).to_have_count(40)
    log_steps(job, 41, 60)
    expect(page.get_by_text("step 60 of 100")).to_be_visible()
    expect(numbers).to_have_count(60)

    made = ModelVersion.objects.create(name="Manners", slug="manners-v1", base=job.base_model)
    TrainingJob.objects.filter(pk=job.pk).update(status="succeeded", finished=timezone.now(), model=made)
    expect(page.locator("#state .badge.succeeded")).to_be_visible()
    expect(page.get_by_role("link", name="Compare with its base")).to_be_visible()
    assert rests(page, seconds=5)


def rests(page, seconds: float, within: float = 15) -> bool:
    """Whether there comes a time in which the page asks for nothing: what asks every few seconds never lets it come."""
    begun = asked = time.monotonic()

    def note(_):
        nonlocal asked
        asked = time.monotonic()

    page.on("request", note)
    while time.monotonic() < begun + within and time.monotonic() < asked + seconds:
        page.wait_for_timeout(50)
    return time.monotonic() >= asked + seconds


def test_settings_typed_after_the_check_are_said_to_be_unchecked(visit, ready):
    page = visit("/train/new/")
    page.get_by_role("button", name="Check").click()
    page.wait_for_url("**check=*")
    preflights.run(Preflight.objects.get())
    expect(page.locator("[data-launch]")).to_have_text("Launch")
    page.get_by_label("beta").fill("0.4")
    expect(page.locator("[data-launch]")).to_have_text("Check and launch")
    page.get_by_label("I have read the warnings").check()
    page.locator("[data-launch]").click()
    expect(page.get_by_text("so it is checked again")).to_be_visible()
    assert Preflight.objects.first().settings["beta"] == 0.4
    assert not TrainingJob.objects.exists()


def test_legend_smoothing_log_scale_and_axis_redraw_without_a_complaint(visit, make_job):
    job = make_job(status="succeeded")
    log_steps(job, 1, 80)
    TrainingJob.objects.filter(pk=job.pk).update(status="succeeded")
    page = visit(f"/train/{job.pk}/")
    chosen = page.get_by_role("button", name="chosen")
    expect(chosen).to_have_attribute("aria-pressed", "true")
    chosen.click()
    expect(page.get_by_role("button", name="chosen")).to_have_attribute("aria-pressed", "false")
    page.get_by_label("Smoothing").fill("0.9")
    page.get_by_label("Log scale").check()
    page.get_by_label("Along").select_option("time")
    expect(page.locator(".charts figure canvas")).to_have_count(3)
    expect(page.get_by_role("button", name="chosen")).to_have_attribute("aria-pressed", "false")
    page.emulate_media(color_scheme="dark")
    expect(page.locator(".charts figure canvas")).to_have_count(3)


def test_several_runs_share_one_chart_and_can_be_hidden(visit, make_job):
    jobs = [make_job(name=f"Run {n}", status="succeeded") for n in range(3)]
    for job in jobs:
        log_steps(job, 1, 30)
    TrainingJob.objects.update(status="succeeded")
    page = visit("/train/")
    for job in jobs[:2]:
        page.get_by_label(f"Pick {job.name}").check()
    page.get_by_role("button", name="Overlay the ticked runs").click()
    expect(page.get_by_role("heading", name="2 runs on one chart")).to_be_visible()
    button = page.get_by_role("button", name="Run 0")
    button.click()
    expect(page.get_by_role("button", name="Run 0")).to_have_attribute("aria-pressed", "false")
    expect(page.get_by_role("button", name="Run 2")).to_have_count(0)


def test_a_long_run_is_drawn_whole_and_soon(visit, make_job):
    job = make_job(status="succeeded")
    log_steps(job, 1, 20_000)
    TrainingJob.objects.filter(pk=job.pk).update(status="succeeded")
    begun = time.monotonic()
    page = visit(f"/train/{job.pk}/")
    expect(page.locator(".charts figure canvas")).to_have_count(3)
    page.wait_for_function("document.querySelector('.charts figure .num')?.textContent.length > 0")
    page.wait_for_load_state("networkidle")
    page.locator(".charts figure details summary").first.click()
    last = page.locator(".charts figure").first.locator("tbody tr").last.locator("td").first
    expect(last).to_have_text("20000")
    assert time.monotonic() - begun < 30


def test_stopping_for_good_asks_first(visit, make_job):
    job = make_job(status="running", step=5, total=50)
    page = visit(f"/train/{job.pk}/")
    page.get_by_role("button", name="Stop now…").click()
    page.get_by_role("button", name="Keep training").click()
    job.refresh_from_db()
    assert job.status == "running"
    page.get_by_role("button", name="Stop now…").click()
    page.get_by_role("dialog").get_by_role("button", name="Stop now").click()
    expect(page.locator("#state .badge.stopping")).to_be_visible()
    job.refresh_from_db()
    assert (job.status, job.cancel) == ("stopping", "stop")


@pytest.mark.parametrize("script", [True, False])
def test_the_open_tab_is_in_the_address_and_stays_open_after_every_button(visit, make_job, script):
    job = make_job(status="running", recipe_name="grpo", step=5, total=50)
    page = visit(f"/train/{job.pk}/", java_script_enabled=script)
    tabs = page.get_by_role("navigation", name="Details of this run")
    tabs.get_by_role("link", name="Settings").click()
    page.get_by_role("button", name="Stop and save").click()
    expect(page.locator("#state .badge.stopping")).to_be_visible()
    expect(tabs.locator("[aria-current]")).to_have_text("Settings")
    TrainingJob.objects.filter(pk=job.pk).update(status="stopped")
    page.reload()
    page.get_by_role("button", name="Resume").click()
    expect(page.locator("#state .badge.queued")).to_be_visible()
    expect(tabs.locator("[aria-current]")).to_have_text("Settings")
    assert page.url.endswith(f"/train/{job.pk}/?tab=settings#details")


def test_what_rollouts_were_searched_for_stays_after_a_button(visit, make_job):
    job = make_job(status="running", recipe_name="grpo", step=5, total=50)
    page = visit(f"/train/{job.pk}/?tab=rollouts")
    page.get_by_label("Text").fill("two words")
    expect(page.get_by_role("heading", name="No group matches")).to_be_visible()
    page.get_by_role("button", name="Stop and save").click()
    expect(page.locator("#state .badge.stopping")).to_be_visible()
    expect(page.get_by_label("Text")).to_have_value("two words")


def test_everything_works_without_a_script(visit, ready):
    page = visit("/train/new/", java_script_enabled=False)
    page.get_by_label("Smoke: does it run at all?").check()
    page.get_by_role("button", name="Fill in").click()
    expect(page.get_by_label("max_steps")).to_have_value("4")
    page.get_by_role("button", name="Check").click()
    page.wait_for_url("**check=*")
    preflights.run(Preflight.objects.get())
    page.get_by_role("link", name="Look again").click()
    page.get_by_label("I have read the warnings").check()
    page.get_by_role("button", name="Launch", exact=True).click()
    page.wait_for_url(RUN)
    job = TrainingJob.objects.get()
    TrainingJob.objects.filter(pk=job.pk).update(status="running")
    page.goto(page.url)
    page.get_by_role("button", name="Stop and save").click()
    expect(page.locator("#state .badge.stopping")).to_be_visible()
    job.refresh_from_db()
    assert (job.status, job.cancel) == ("stopping", "save")


WIDTHS = (390, 768, 1440)
FITS = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"


def test_no_page_is_wider_than_its_window(visit, ready, make_job, make_model):
    long = "An-unbroken-name-" * 6
    job = make_job(
        name=long, status="failed", error={"class": "crash", "message": long * 3, "advice": long}, log=long * 30
    )
    log_steps(job, 1, 30)
    TrainingJob.objects.filter(pk=job.pk).update(status="failed")
    Sample.objects.create(
        job=job, line=0, step=1, prompt=[{"role": "user", "content": long}], completion=long, reward=1.0
    )
    model = make_model(
        name=long[:90], files={"README.md": f"# {long}\n\n`{long}`", f"{long}.safetensors": "x"}, source=job.run_dir
    )
    paths = [
        "/train/",
        "/train/new/",
        f"/train/overlay/?run={job.pk}",
        "/models/",
        "/models/new/",
        f"/models/{model.slug}/",
    ]
    paths += [f"/train/{job.pk}/?tab={tab}" for tab in ("samples", "log", "settings", "machine", "files")]
    page = visit("/train/")
    for path in paths:
        page.goto(urljoin(page.url, path))
        page.wait_for_load_state("networkidle")
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 800})
            eventually(page, lambda: page.evaluate(FITS), f"{path} is too wide at {width}")
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 800})
        hidden = page.locator(".rail").evaluate("rail => rail.scrollWidth - rail.clientWidth")
        assert hidden <= 0, f"the rail hides {hidden} px at {width}"
        expect(page.get_by_role("link", name="alice: your account")).to_be_in_viewport()
