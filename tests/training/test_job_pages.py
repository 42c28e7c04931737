"""The list of trainings, the page of one, several on one chart: what they show, to whom, and when they poll."""

import csv
import io
import re
from datetime import timedelta

import pytest
from django.utils import timezone

from annotation.models import Membership
from studio.models import WorkerBeat
from tests.live import streamed
from tests.reading import text
from training.models import Metric, Sample, TrainingJob

pytest_plugins = ["tests.training.pages"]
ENDED = ("succeeded", "stopped", "cancelled", "failed")


@pytest.fixture
def page(client, alice):
    client.force_login(alice)
    return lambda path, **headers: client.get(path, headers=headers)


@pytest.fixture
def reviewer(project, django_user_model):
    rita = django_user_model.objects.create_user("rita", "rita@example.org", "a long password")
    Membership.objects.create(project=project, user=rita, role="reviewer")
    return rita


# ---- the list ----


def test_without_runs_the_list_says_what_a_training_is_and_offers_one(page, project):
    html = text(page("/train/"))
    assert "Nothing has been trained yet" in html
    assert 'href="/train/new/"' in html


def test_queued_runs_show_their_place(page, make_job):
    for name in ("first", "second", "third"):
        make_job(name=name)
    html = text(page("/train/"))
    assert "3 in the queue" in html and "2 in the queue" in html and ">next<" in html


def test_a_queue_nobody_listens_to_is_said_with_the_command(page, make_job):
    make_job()
    assert "No trainer is listening" in text(page("/train/")) and "studio trainer" in text(page("/train/"))
    WorkerBeat.objects.create(name="t", queue="train", seen=timezone.now())
    assert "No trainer is listening" not in text(page("/train/"))


@pytest.mark.parametrize(
    ("status", "polls"), [("queued", True), ("running", True), ("stopping", True), ("failed", False)]
)
def test_the_list_refreshes_itself_only_while_something_runs(page, make_job, status, polls):
    make_job(status=status)
    assert ('hx-trigger="every 3s"' in text(page("/train/"))) == polls


def test_a_refresh_keeps_the_ticks(page, make_job):
    job, other = make_job(status="running"), make_job(name="Other")
    html = text(page(f"/train/?run={job.pk}", HX_Request="true"))
    assert "<html" not in html
    assert f'value="{job.pk}" aria-label="Pick Manners" checked' in html
    assert f'value="{other.pk}" aria-label="Pick Other" checked' not in html


def test_filters_narrow_the_list_and_ignore_what_is_not_offered(page, make_job):
    make_job(name="Kind", recipe_name="dpo", status="failed")
    make_job(name="Stern", recipe_name="sft", status="succeeded")
    assert "Stern" not in text(page("/train/?status=failed"))
    assert "Kind" not in text(page("/train/?recipe=sft"))
    assert "Kind" not in text(page("/train/?q=ster"))
    everything = text(page("/train/?created_by__password=x&status=%00&q=%00&before=abc"))
    assert "Kind" in everything and "Stern" in everything


def test_a_long_list_goes_on_where_it_ended(page, make_job):
    jobs = [make_job(name=f"Run {n:03}", status="succeeded") for n in range(53)]
    first = text(page("/train/"))
    assert "Run 052" in first and "Run 002" not in first
    older = re.search(r'href="(\?[^"]*before=\d+)"', first).group(1)
    rest = text(page(f"/train/{older}"))
    assert "Run 002" in rest and "Run 003" not in rest
    assert jobs


def test_the_list_asks_the_database_the_same_few_times_however_long_it_is(
    page, make_job, django_assert_max_num_queries
):
    for n in range(20):
        make_job(name=f"Run {n}", status="succeeded")
    with django_assert_max_num_queries(12):
        page("/train/")


# ---- one run ----


@pytest.mark.parametrize("status", ["queued", "running", "stopping", *ENDED])
def test_only_an_unfinished_job_polls(page, make_job, status):
    job = make_job(status=status)
    for tab in ("samples", "log"):
        html = text(page(f"/train/{job.pk}/?tab={tab}"))
        assert ("hx-trigger" in html) == (status not in ENDED)
    assert (f'"live": {"false" if status in ENDED else "true"}' in html) is True


def test_a_fragment_of_an_ended_run_comes_without_its_trigger_so_polling_stops(page, make_job):
    job = make_job(status="succeeded", step=60, total=60)
    html = text(page(f"/train/{job.pk}/?part=state", HX_Request="true"))
    assert "hx-trigger" not in html and "step 60 of 60" in html and "<html" not in html


def test_a_page_that_is_open_when_its_run_ends_offers_the_comparison(page, make_job, make_model):
    job = make_job(status="running")
    offer = '<div id="actions" class="actions" hx-swap-oob="true">'
    assert offer not in text(page(f"/train/{job.pk}/?part=state", HX_Request="true"))
    made = make_model(base=job.base_model)
    TrainingJob.objects.filter(pk=job.pk).update(status="succeeded", model=made)
    last = text(page(f"/train/{job.pk}/?part=state", HX_Request="true"))
    assert "Compare with its base" in last.partition(offer)[2]
    whole = text(page(f"/train/{job.pk}/"))
    assert whole.count('id="actions"') == 1 and whole.count("Compare with its base") == 1


def test_looking_at_an_ended_run_marks_it_seen_for_its_owner_alone(page, client, make_job, alice, reviewer):
    job = make_job(status="failed")
    client.force_login(reviewer)
    client.get(f"/train/{job.pk}/")
    job.refresh_from_db()
    assert not job.seen
    client.force_login(alice)
    client.get(f"/train/{job.pk}/")
    job.refresh_from_db()
    assert job.seen


def test_looking_at_a_running_run_does_not_mark_it_seen(page, make_job):
    job = make_job(status="running")
    page(f"/train/{job.pk}/")
    job.refresh_from_db()
    assert not job.seen


def test_a_failure_says_its_kind_its_message_and_what_to_try(page, make_job):
    error = {"class": "out_of_memory", "message": "tried to allocate 9 GB", "advice": "Halve the batch."}
    job = make_job(status="failed", error=error, log="one\ntwo\nlast words\n")
    html = text(page(f"/train/{job.pk}/"))
    for said in ("Out of memory", "tried to allocate 9 GB", "Halve the batch.", "last words", 'value="resume"'):
        assert said in html


def test_an_alarm_stands_on_the_page_with_what_to_try(page, make_job):
    alarm = {"kind": "nan", "step": 7, "message": "loss is NaN", "advice": "Lower learning_rate."}
    html = text(page(f"/train/{make_job(status='running', alarms=[alarm]).pk}/"))
    assert "loss is NaN" in html and "Lower learning_rate." in html and "at step 7" in html


def test_an_alarm_reaches_a_page_that_is_open(page, make_job):
    alarm = {"kind": "nan", "step": 7, "message": "loss is NaN", "advice": "Lower learning_rate."}
    job = make_job(status="running", alarms=[alarm])
    html = text(page(f"/train/{job.pk}/?part=state", HX_Request="true"))
    assert '<div id="alarms" class="stack" hx-swap-oob="true">' in html and "loss is NaN" in html


def test_a_run_whose_trainer_fell_silent_says_so(page, make_job):
    job = make_job(status="running", heartbeat=timezone.now() - timedelta(minutes=5))
    assert "No sign of life" in text(page(f"/train/{job.pk}/"))


def test_changed_settings_are_told_from_defaults(page, make_job):
    job = make_job(settings={"beta": 0.7})
    html = text(page(f"/train/{job.pk}/?tab=settings"))
    assert "beta=0.7" in html
    row = re.search(r'<tr class="changed"><th scope="row" class="mono">(\w+)</th><td class="mono">([\d.]+)', html)
    assert row.groups() == ("beta", "0.7")
    assert html.count('class="changed"') == 1


def test_samples_are_gathered_by_prompt_newest_step_first_as_markdown(page, make_job):
    job = make_job(status="succeeded")
    for line, (step, question) in enumerate([(5, "Why?"), (5, "How?"), (10, "Why?")]):
        prompt = [{"role": "user", "content": question}]
        Sample.objects.create(job=job, line=line, step=step, prompt=prompt, completion=f"**at {step}**", reward=0.25)
    html = text(page(f"/train/{job.pk}/"))
    assert html.count('<article class="card sample">') == 2
    assert html.index("<strong>at 10</strong>") < html.index("<strong>at 5</strong>")
    assert "0.250" in html


def test_a_poll_for_samples_answers_nothing_until_there_is_something_new(page, make_job):
    job = make_job(status="running")
    Sample.objects.create(job=job, line=0, step=1, prompt=[], completion="first")
    polls = re.search(r'hx-get="([^"]*part=tab[^"]*)"', text(page(f"/train/{job.pk}/"))).group(1).replace("&amp;", "&")
    assert page(polls, HX_Request="true").status_code == 204
    Sample.objects.create(job=job, line=1, step=2, prompt=[], completion="second")
    assert "second" in text(page(polls, HX_Request="true"))


def test_nothing_a_run_says_is_ever_markup(page, make_job, pairs_dataset):
    evil = "<script>alert(1)</script><img src=x onerror=alert(1)>"
    type(pairs_dataset).objects.update(name=evil)
    alarm = {"kind": "nan", "step": 1, "message": evil, "advice": evil}
    error = {"class": "crash", "message": evil, "advice": evil}
    job = make_job(
        name=evil[:110], status="failed", log=evil, alarms=[alarm], error=error, latest={evil: evil},
        result={"device": evil}, host=evil, settings={"beta": evil},
    )  # fmt: skip
    Metric.objects.create(job=job, line=0, step=1, time=1.0, values={evil: 1.0})
    Sample.objects.create(
        job=job, line=0, step=1, prompt=[{"role": evil, "content": evil}], completion=evil, parts={evil: 1}
    )
    pages = [f"/train/{job.pk}/?tab={tab}" for tab in ("samples", "log", "settings", "machine", "files")]
    for path in ["/train/", f"/train/overlay/?run={job.pk}", *pages]:
        html = page(path).content.decode()
        assert "<script>alert" not in html and "<img src=x" not in html, path
    assert page(f"/train/{job.pk}/metrics/").headers["Content-Type"] == "application/json"


def test_a_sample_that_is_no_chat_does_not_break_the_page(page, make_job):
    job = make_job(status="succeeded")
    Sample.objects.create(job=job, line=0, step=1, prompt="just text", completion="")
    Sample.objects.create(job=job, line=1, step=1, prompt=None or {}, completion="x", parts={})
    assert page(f"/train/{job.pk}/").status_code == 200


# ---- what can be done to a run ----


def test_stop_and_stop_and_save_reach_the_row(page, client, make_job):
    job = make_job(status="running")
    client.force_login(job.created_by)
    client.post(f"/train/{job.pk}/", {"do": "save"})
    job.refresh_from_db()
    assert (job.status, job.cancel) == ("stopping", "save")
    client.post(f"/train/{job.pk}/", {"do": "stop"})
    job.refresh_from_db()
    assert job.cancel == "stop"


def test_a_queued_run_is_taken_out_of_the_queue(page, client, make_job):
    job = make_job()
    page("/train/")
    client.post(f"/train/{job.pk}/", {"do": "stop"})
    job.refresh_from_db()
    assert job.status == "cancelled"


def test_a_failed_run_is_queued_again(page, client, make_job):
    job = make_job(status="failed", error={"class": "crash", "message": "x", "advice": ""})
    page("/train/")
    assert client.post(f"/train/{job.pk}/", {"do": "resume"}).status_code == 302
    job.refresh_from_db()
    assert job.status == "queued" and job.error is None


def test_a_run_that_succeeded_is_not_resumed_and_the_page_says_why(page, client, make_job):
    job = make_job(status="succeeded")
    page("/train/")
    answer = client.post(f"/train/{job.pk}/", {"do": "resume"}, follow=True)
    assert "can be resumed" in text(answer)
    job.refresh_from_db()
    assert job.status == "succeeded"


@pytest.mark.parametrize("do", ["", "delete", "save\0"])
def test_what_no_button_says_is_refused(page, client, make_job, do):
    job = make_job(status="running")
    page("/train/")
    assert client.post(f"/train/{job.pk}/", {"do": do}).status_code == 400
    job.refresh_from_db()
    assert job.status == "running"


@pytest.mark.parametrize("query", ["", "?tab=log", "?q=two+words&sort=-reward&tab=rollouts"])
def test_after_a_button_the_same_address_is_shown_again(page, client, make_job, query):
    job = make_job(status="failed", recipe_name="grpo")
    page("/train/")
    for do in ("resume", "stop", "resume"):
        assert client.post(f"/train/{job.pk}/{query}", {"do": do}).url == f"/train/{job.pk}/{query}"


# ---- who ----


@pytest.mark.parametrize("path", ["", "metrics/", "metrics.csv", "files/log.txt", "?part=state"])
@pytest.mark.parametrize("who", ["carol", "bob"])
def test_outsiders_and_labelers_find_no_run(client, request, make_job, write_run, who, path):
    job = make_job()
    write_run(job, log__txt="secret")
    client.force_login(request.getfixturevalue(who))
    assert client.get(f"/train/{job.pk}/{path}").status_code == 404


@pytest.mark.parametrize("who", ["carol", "bob"])
def test_outsiders_and_labelers_see_no_run_in_list_or_overlay(client, request, make_job, who):
    job = make_job(name="Secret run")
    client.force_login(request.getfixturevalue(who))
    assert "Secret run" not in text(client.get("/train/"))
    assert "Secret run" not in text(client.get(f"/train/overlay/?run={job.pk}"))


@pytest.mark.parametrize("do", ["save", "stop", "resume"])
@pytest.mark.parametrize(("who", "answer"), [("carol", 404), ("bob", 404), ("reviewer", 403)])
def test_only_a_manager_stops_or_resumes(client, request, make_job, who, answer, do):
    job = make_job(status="running")
    client.force_login(request.getfixturevalue(who))
    assert client.post(f"/train/{job.pk}/", {"do": do}).status_code == answer
    job.refresh_from_db()
    assert job.status == "running"


def test_a_reviewer_looks_and_is_offered_nothing_to_press(client, reviewer, make_job):
    client.force_login(reviewer)
    html = text(client.get(f"/train/{make_job(status='running').pk}/"))
    assert "Manners" in html and 'name="do"' not in html and "Train again" not in html


# ---- files and numbers ----


def test_files_of_a_run_are_listed_and_downloaded(page, make_job, write_run):
    job = make_job(status="succeeded")
    write_run(job, log__txt="all is well", config__json={"versions": {"torch": "9.9"}})
    assert "log.txt" in text(page(f"/train/{job.pk}/?tab=files"))
    TrainingJob.objects.filter(pk=job.pk).update(result={"savings": ["frozen layers", "padding"]})
    assert "<dt>Savings</dt><dd>frozen layers; padding</dd>" in text(page(f"/train/{job.pk}/?tab=machine"))
    assert "9.9" in text(page(f"/train/{job.pk}/?tab=machine"))
    answer = page(f"/train/{job.pk}/files/log.txt")
    assert streamed(answer) == b"all is well"
    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert answer.headers["Content-Type"] == "application/octet-stream"


@pytest.mark.parametrize("path", ["../secret_key", "..%2f..%2fsecret_key", "/etc/passwd", "nothing.txt", "./log.txt"])
def test_no_other_file_can_be_asked_for(page, make_job, write_run, path):
    job = make_job(status="succeeded")
    write_run(job, log__txt="x")
    assert page(f"/train/{job.pk}/files/{path}").status_code == 404


def test_the_numbers_come_as_csv(page, make_job):
    job = make_job(status="succeeded")
    Metric.objects.create(job=job, line=0, step=1, time=5.0, values={"loss": 0.5})
    Metric.objects.create(job=job, line=1, step=1, time=6.0, values={"eval_loss": "NaN"})
    rows = list(csv.reader(io.StringIO(streamed(page(f"/train/{job.pk}/metrics.csv")).decode())))
    assert rows == [["step", "time", "loss", "eval_loss"], ["1", "5.0", "0.5", ""], ["1", "6.0", "", "NaN"]]


def test_runs_on_one_chart_show_where_they_differ(page, make_job):
    one, two = make_job(name="Mild"), make_job(name="Strong", settings={"beta": 0.9})
    html = text(page(f"/train/overlay/?run={one.pk}&run={two.pk}"))
    assert f"/train/{one.pk}/metrics/" in html and f"/train/{two.pk}/metrics/" in html
    rows = re.findall(r'<th scope="row" class="mono">(\w+)</th>', html)
    assert rows == ["beta"]
    assert (
        page(f"/train/overlay/?run={one.pk},{two.pk}").content
        == page(f"/train/overlay/?run={one.pk}&run={two.pk}").content
    )


def test_the_overlay_says_when_nothing_or_too_much_is_picked(page, make_job):
    assert "No run is picked" in text(page("/train/overlay/?run=99999&run=x"))
    picked = "&".join(f"run={make_job(name=str(n)).pk}" for n in range(9))
    html = text(page(f"/train/overlay/?{picked}"))
    assert "Only the first 8" in html
    assert TrainingJob.objects.count() == 9
