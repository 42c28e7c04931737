"""The dataset pages: freeze with an estimate, report, rows that lead back to their ranking, files, deletion."""

import json

import pytest
from django.urls import reverse

from annotation.freezing.freeze import freeze, write
from annotation.models import Dataset, Membership, RankedCompletion, Ranking, Tally
from annotation.store import store
from training.models import ModelVersion, TrainingJob

pytestmark = pytest.mark.django_db


@pytest.fixture
def labeled(make_prompt, bob, project):
    for n in range(12):
        prompt = make_prompt(f"Question {n}?", ("A longer and better answer.", "Short."))
        ranking = Ranking.objects.create(prompt=prompt, labeler=bob)
        for place, completion in enumerate(prompt.completions.all(), 1):
            RankedCompletion.objects.create(ranking=ranking, completion=completion, rank=place, shown=place)
    Tally.objects.create(project=project, labeler=bob, day="2026-01-01", labels=12)


@pytest.fixture
def dataset(project, labeled, alice):
    return freeze(project, "First pairs", {}, alice, background=False)


@pytest.fixture
def manager(client, alice):
    client.force_login(alice)
    return client


def form(**fields):
    return {"name": "Pairs", "eval_percent": 10, "seed": 42, "disagreement": "keep"} | fields


def test_the_list_is_empty_then_shows_what_was_frozen(manager, project, labeled):
    assert "No datasets yet" in manager.get(reverse("datasets")).content.decode()
    frozen = freeze(project, "First pairs", background=False)
    text = manager.get(reverse("datasets")).content.decode()
    assert "First pairs" in text and frozen.fingerprint[:10] in text and "No datasets yet" not in text


def test_the_freeze_form_estimates_and_freezes(manager, project, labeled, bob):
    address = reverse("dataset_new", args=[project.slug])
    text = manager.get(address).content.decode()
    assert "12 pairs" in text and "from 12 rankings of 12 prompts by 1 labeler" in " ".join(text.split())
    fragment = manager.get(address, form(sources=["api"]), headers={"HX-Request": "true"}).content.decode()
    assert "<html" not in fragment and "pairs" in fragment
    response = manager.post(address, form(margin="on"))
    frozen = Dataset.objects.get()
    assert response.url == frozen.get_absolute_url() and frozen.options["margin"] is True
    page = manager.get(response.url).content.decode()
    assert 'hx-trigger="every 1s"' in page and "No worker is listening" in page
    write(frozen)
    poll = manager.get(response.url, headers={"HX-Request": "true"})
    assert poll.headers["HX-Refresh"] == "true"
    assert "every 1s" not in manager.get(response.url).content.decode()


def test_freezing_again_leads_to_the_same_dataset_and_says_so(manager, project, dataset):
    response = manager.post(reverse("dataset_new", args=[project.slug]), form(name="Again"), follow=True)
    assert response.redirect_chain[-1][0] == dataset.get_absolute_url() and Dataset.objects.count() == 1
    assert "Nothing has changed since First pairs was frozen" in response.content.decode()


def test_a_freeze_that_turns_out_equal_leads_to_the_older_one(manager, project, dataset, make_prompt, bob):
    tie = Ranking.objects.create(prompt=make_prompt("Tie?", ("a", "b")), labeler=bob)
    for completion in tie.prompt.completions.all():
        RankedCompletion.objects.create(ranking=tie, completion=completion, rank=1, shown=1)
    newer = freeze(project, "Newer", {}, None)
    write(newer)
    response = manager.get(newer.get_absolute_url(), headers={"HX-Request": "true"})
    assert response.headers["HX-Redirect"] == dataset.get_absolute_url() and Dataset.objects.count() == 1


def test_too_few_labels_are_refused_on_the_form_with_what_is_needed(manager, project):
    text = manager.post(reverse("dataset_new", args=[project.slug]), form()).content.decode()
    assert "A dataset needs pairs from at least 2 prompts" in text and not Dataset.objects.exists()
    bad = manager.post(reverse("dataset_new", args=[project.slug]), form(eval_percent=90, sources=["evil"]))
    assert bad.status_code == 200 and not Dataset.objects.exists()


def test_the_page_tells_what_the_rows_are_like_and_where_they_come_from(manager, project, dataset, bob):
    text = manager.get(dataset.get_absolute_url()).content.decode()
    assert "100 %" in text and "Longer answers are chosen more often." in text
    assert dataset.fingerprint[:16] in text and "bob" in text and "load_dataset" in text
    row = json.loads(store().fetch(f"{dataset.folder}/train.jsonl").open().readline())
    prompt = reverse("prompt", args=[project.slug, row["prompt_id"]])
    assert f"{prompt}#ranking-{row['ranking']}" in text
    assert "style=" not in text and "<svg" in text


def test_rows_page_forward_without_gaps_or_repeats(manager, dataset, monkeypatch):
    monkeypatch.setattr("annotation.views.datasets.PAGE", 4)
    seen, at = [], 0
    while at is not None:
        context = manager.get(dataset.get_absolute_url(), {"split": "train", "at": at}).context
        seen += [row["ranking"] for row in context["rows"]]
        at = context["after"]
    assert len(seen) == len(set(seen)) == dataset.rows_train
    for odd in ("-1", "7", "99999999", "x", "1" * 40):
        assert manager.get(dataset.get_absolute_url(), {"at": odd}).status_code == 200


def test_what_is_in_a_row_is_shown_never_run(manager, project, make_prompt, bob):
    script = "<script>alert(1)</script>"
    for n in range(2):
        prompt = make_prompt(f"{script} {n}", (script, f"[x](javascript:alert(1)) {n}"))
        ranking = Ranking.objects.create(prompt=prompt, labeler=bob)
        for place, completion in enumerate(prompt.completions.all(), 1):
            RankedCompletion.objects.create(ranking=ranking, completion=completion, rank=place, shown=place)
    frozen = freeze(project, script, background=False)
    text = manager.get(frozen.get_absolute_url()).content.decode()
    assert "<script>alert" not in text and 'href="javascript' not in text and "&lt;script&gt;" in text


@pytest.mark.parametrize("name", ["train.jsonl", "eval.jsonl", "train.parquet", "eval.parquet"])
def test_files_are_downloaded(manager, dataset, name):
    response = manager.get(reverse("dataset_file", args=[dataset.slug, name]))
    assert response.headers["Content-Disposition"] == f'attachment; filename="first-pairs-{name}"'
    assert int(response.headers["Content-Length"]) == store().fetch(f"{dataset.folder}/{name}").stat().st_size


def test_no_other_file_is_reachable(manager, dataset):
    for name in ("config.json", "..", "%2e%2e"):
        assert manager.get(f"/datasets/{dataset.slug}/files/{name}").status_code == 404


def test_a_dataset_is_deleted_only_while_no_training_uses_it(manager, project, dataset):
    model = ModelVersion.objects.create(name="m", slug="m-v1")
    job = TrainingJob.objects.create(name="j", project=project, dataset=dataset, recipe="dpo", base_model=model)
    page = manager.get(dataset.get_absolute_url()).content.decode()
    assert reverse("job", args=[job.pk]) in page and "Delete this dataset" not in page
    response = manager.post(dataset.get_absolute_url(), follow=True)
    assert "a training was made from it" in response.content.decode() and store().exists(dataset.folder)
    job.delete()
    response = manager.post(dataset.get_absolute_url(), follow=True)
    assert "is deleted. Its rankings are untouched." in response.content.decode()
    assert not Dataset.objects.exists() and not store().exists(dataset.folder) and Ranking.objects.count() == 12


def test_reviewers_look_managers_freeze_and_delete_others_see_nothing(client, project, dataset, bob, carol):
    pages = [dataset.get_absolute_url(), reverse("dataset_file", args=[dataset.slug, "train.jsonl"])]
    new = reverse("dataset_new", args=[project.slug])
    client.force_login(bob)
    assert [client.get(page).status_code for page in [*pages, new]] == [404, 404, 403]
    client.force_login(carol)
    assert [client.get(page).status_code for page in [*pages, new]] == [404, 404, 404]
    assert "First pairs" not in client.get(reverse("datasets")).content.decode()
    Membership.objects.create(project=project, user=carol, role="reviewer")
    assert [client.get(page).status_code for page in [*pages, new]] == [200, 200, 403]
    assert client.post(dataset.get_absolute_url()).status_code == 403 and Dataset.objects.exists()


def test_a_failed_dataset_says_why(manager, project, dataset):
    Dataset.objects.update(status="failed", message="The disk is full.")
    text = manager.get(dataset.get_absolute_url()).content.decode()
    assert "This dataset was not made." in text and "The disk is full." in text
