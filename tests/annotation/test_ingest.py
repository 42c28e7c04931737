"""Imports land what is good, report what is not, add nothing twice, and survive lost workers and full disks."""

import errno
import json
import os
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.utils import timezone

from annotation.importing import ingest
from annotation.importing.cells import BadFile
from annotation.importing.ingest import cancel, import_path, queue_import, run_import, wake_lost
from annotation.importing.prepare import canonical, sha256
from annotation.importing.problems import problems_key
from annotation.models import Completion, Import, Lease, Prompt, RankedCompletion, Ranking, Tally, fingerprint
from annotation.store import store

SHARED = Path(os.environ.get("STUDIO_SHARED_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data")
pytestmark = pytest.mark.django_db


@pytest.fixture
def file(tmp_path):
    def write(*rows, name="rows.jsonl"):
        path = tmp_path / name
        path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
        return path

    return write


def row(n, *completions, **fields):
    return {"prompt": f"Question {n}?", "completions": list(completions or ("Yes.", "No.")), **fields}


def counters_agree(project):
    project.refresh_from_db()
    assert project.prompt_count == project.prompts.count()
    for prompt in project.prompts.all():
        assert prompt.labels_given == prompt.rankings.count()
        enough = prompt.completions.count() > 1
        given = prompt.labels_given + prompt.open_slots + prompt.leases.count()
        assert given == (prompt.labels_wanted if enough else prompt.labels_given)
    labels = sum(Tally.objects.filter(project=project).values_list("labels", flat=True))
    assert labels == Ranking.objects.filter(prompt__project=project).count()


def test_good_rows_land_and_bad_ones_are_told_by_line_and_reason(project, file):
    job = import_path(project, file(row(1), "{oops", row(2, criterion="honest"), {"completions": []}, "", row(3)))
    assert (job.status, job.rows, job.added, job.known, job.bad) == ("succeeded", 5, 3, 0, 2)
    assert [problem["row"] for problem in job.problems] == [2, 4]
    assert (
        "not JSON" in job.problems[0]["reason"] and job.problems[1]["reason"] == "prompt is missing; it should be text"
    )
    kept = store().fetch(problems_key(job)).read_text().splitlines()
    assert [json.loads(line) for line in kept] == job.problems
    assert project.prompts.get(text="Question 2?").criterion.name == "honest"
    assert Prompt.objects.filter(project=project, open_slots=1, labels_wanted=1).count() == 3
    counters_agree(project)


def test_stored_fingerprints_are_the_models_own(project, file):
    import_path(project, file(row(1, "Ja – sí", "No.")))
    prompt = project.prompts.get()
    assert prompt.fingerprint == fingerprint(prompt.messages) == sha256(canonical(prompt.messages))
    assert {c.fingerprint for c in prompt.completions.all()} == {fingerprint("Ja – sí"), fingerprint("No.")}


def test_importing_the_same_file_again_adds_nothing(project, file):
    path = file(row(1), row(2), {"prompt": "Ranked?", "completions": ["a", "b"], "rankings": [[2, 1], [2, 1]]})
    import_path(project, path)
    before = [model.objects.count() for model in (Prompt, Completion, Ranking, RankedCompletion)]
    job = import_path(project, path)
    assert (job.added, job.known, job.bad) == (0, 3, 0) and before == [3, 6, 2, 4]
    assert before == [model.objects.count() for model in (Prompt, Completion, Ranking, RankedCompletion)]
    counters_agree(project)


def test_repeated_prompts_of_one_file_become_one_prompt(project, file):
    pair = {"prompt": "Hi?", "chosen": "good", "rejected": "bad"}
    job = import_path(
        project, file(pair, pair, pair | {"rejected": "worse"}, pair | {"chosen": "bad", "rejected": "good"})
    )
    assert (job.added, job.known, job.bad) == (3, 1, 0)
    prompt = project.prompts.get()
    assert sorted(prompt.completions.values_list("text", flat=True)) == ["bad", "good", "worse"]
    assert prompt.rankings.count() == prompt.labels_given == prompt.labels_wanted == 3
    counters_agree(project)


def test_imported_rankings_have_no_labeler_and_count_toward_the_labels_wanted(project, file):
    project.labels_wanted = 2
    project.save()
    import_path(project, file({"prompt": "Hi?", "chosen": "good", "rejected": "bad"}))
    ranking = Ranking.objects.get()
    assert ranking.source == "import" and ranking.labeler is None
    assert [(r.completion.text, r.rank) for r in ranking.ranked.all()] == [("good", 1), ("bad", 2)]
    prompt = project.prompts.get()
    assert (prompt.labels_given, prompt.open_slots, prompt.labels_wanted) == (1, 1, 2)


def test_prompts_alone_wait_for_completions_and_open_when_they_come(project, file):
    import_path(project, file({"prompt": "Question 1?"}))
    assert project.prompts.get().open_slots == 0
    job = import_path(project, file(row(1)))
    assert job.added == 1 and project.prompts.get().open_slots == 1
    counters_agree(project)


def test_identical_completions_are_one_with_the_best_of_their_ranks(project, file):
    import_path(project, file({"prompt": "Hi?", "completions": ["a", "b", "a"], "rankings": [[3, 2, 1]]}))
    ranks = dict(RankedCompletion.objects.values_list("completion__text", "rank"))
    assert ranks == {"a": 1, "b": 2}


@pytest.mark.parametrize("work", ["ranked", "leased"])
def test_new_completions_for_a_prompt_people_work_on_are_reported_not_added(make_prompt, project, bob, file, work):
    prompt = make_prompt("Question 1?", ("Yes.", "No."))
    if work == "ranked":
        Ranking.objects.create(prompt=prompt, labeler=bob)
        Prompt.objects.update(labels_given=1, open_slots=0)
        Tally.objects.create(project=project, labeler=bob, day=timezone.now().date(), labels=1)
    else:
        Lease.objects.create(prompt=prompt, labeler=bob, expires=timezone.now() + timedelta(hours=1))
        Prompt.objects.update(open_slots=0)
    job = import_path(project, file(row(1, "Yes.", "Maybe."), row(1), row(2)))
    assert (job.added, job.known, job.bad) == (1, 1, 1)
    assert job.problems[0] == {
        "row": 1,
        "reason": "the prompt is here and people rank it; 1 new completions were left out",
    }
    assert prompt.completions.count() == 2
    counters_agree(project)


def test_a_ranking_for_a_leased_prompt_takes_no_slot_from_its_labeler(make_prompt, project, bob, file):
    prompt = make_prompt("Question 1?", ("Yes.", "No."))
    Lease.objects.create(prompt=prompt, labeler=bob, expires=timezone.now() + timedelta(hours=1))
    Prompt.objects.update(open_slots=0)
    import_path(project, file({"prompt": "Question 1?", "chosen": "Yes.", "rejected": "No."}))
    prompt.refresh_from_db()
    assert (prompt.labels_given, prompt.open_slots, prompt.labels_wanted) == (1, 0, 2)


def test_strict_lands_all_or_none(project, file):
    job = import_path(project, file(*[row(n) for n in range(5000)], "{oops"), strict=True)
    assert job.status == "failed" and job.bad == 1 and job.problems[0]["row"] == 5001
    assert "Nothing was imported" in job.message and (job.added, project.prompts.count()) == (0, 0)
    job = import_path(project, file(*[row(n) for n in range(5000)]), strict=True)
    assert (job.status, job.rows, job.added, project.prompts.count()) == ("succeeded", 5000, 5000, 5000)
    counters_agree_fast(project)


def counters_agree_fast(project):
    project.refresh_from_db()
    assert project.prompt_count == project.prompts.count()


def test_strict_takes_back_what_landed_when_the_database_finds_a_bad_row(make_prompt, project, bob, file):
    prompt = make_prompt("Question 7000?", ("Yes.", "No."))
    Lease.objects.create(prompt=prompt, labeler=bob, expires=timezone.now() + timedelta(hours=1))
    Prompt.objects.update(open_slots=0)
    job = import_path(project, file(*[row(n, "Yes.", "Maybe.") for n in range(7001)]), strict=True)
    assert job.status == "failed" and job.added == 0 and job.bad == 1
    assert project.prompts.count() == 1
    counters_agree_fast(project)


def test_hostile_values_are_reported_and_never_stored(project, file):
    rows = [
        {"prompt": "half \ud800", "completions": ["a", "b"]},
        {"prompt": "Hi?", "completions": ["a", "\udfff"]},
        {"prompt": "Hi?", "completions": ["a\x00", "b"]},
        {"prompt": "Hi?", "completions": [], "metadata": {"x": "\x00"}},
        '{"prompt": "Hi?", "metadata": {"x": 1e999}}',
        {"prompt": "Hi?", "reference": "\ud800"},
        {"prompt": "Hi?", "criterion": "x" * 81},
    ]
    job = import_path(project, file(*rows))
    assert (job.status, job.added, job.bad) == ("succeeded", 0, 7), job.problems
    assert "lone surrogate" in job.problems[0]["reason"] and "NUL" in job.problems[2]["reason"]


def test_too_many_criteria_are_not_criteria(project, file):
    job = import_path(project, file(*[row(n, criterion=f"c{n}") for n in range(120)]))
    assert job.added == 100 and job.bad == 20 and "is this the right column" in job.problems[0]["reason"]


def test_only_the_first_hundred_problems_are_on_the_page_but_all_are_kept(project, file):
    job = import_path(project, file(row(1), *["{oops"] * 250))
    assert job.bad == 250 and len(job.problems) == 100
    assert len(store().fetch(problems_key(job)).read_text().splitlines()) == 250


def test_a_file_that_cannot_be_read_leaves_no_import(project, tmp_path, file):
    (tmp_path / "binary").write_bytes(b"\x7fELF\x00\x00")
    for path, why in [
        (tmp_path / "binary", "binary"),
        (tmp_path / "gone", "no file"),
        (file({"a": 1}), "no known shape"),
    ]:
        with pytest.raises(BadFile, match=why):
            import_path(project, path)
    with pytest.raises(BadFile, match="There is no column 'q'"):
        import_path(project, file(row(1)), {"prompt": "q"})
    assert not Import.objects.exists()


def test_a_file_that_breaks_off_keeps_what_came_before(project, tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps([row(n) for n in range(300)])[:-1] + ', {"prompt": ')
    job = import_path(project, path)
    assert job.status == "failed" and "after row 300" in job.message
    assert job.added == project.prompts.count() == 300


# ---- as a job ----


@pytest.fixture
def queued(project, file, alice):
    def queue(*rows, **options):
        key = "imports/uploads/0123"
        store().work(key).write_text(file(*rows).read_text())
        mapping = ingest.fit(store().fetch(key), {}, project)
        return queue_import(project, key, "../../etc/passwd", mapping, options.get("strict", False), alice)

    return queue


def test_an_import_is_claimed_once(queued, project):
    job = queued(*[row(n) for n in range(10)])
    run_import(Import.objects.get(pk=job.pk))
    run_import(job)  # the same message, delivered again
    job.refresh_from_db()
    assert (job.status, job.added, job.known) == ("succeeded", 10, 0) and job.done == job.total > 0


def test_a_lost_worker_is_followed_by_one_that_goes_on_where_it_was(queued, project, monkeypatch):
    monkeypatch.setattr(ingest, "BATCH_ROWS", 10)
    rows = [row(n) for n in range(35)]
    rows[3] = rows[33] = "{oops"
    job = queued(*rows)
    land, landed = ingest.land, []

    def dies_at_the_third(project, batch):
        landed.append(batch)
        if len(landed) == 3:
            raise KeyboardInterrupt
        return land(project, batch)

    monkeypatch.setattr(ingest, "land", dies_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        run_import(Import.objects.get(pk=job.pk))
    monkeypatch.setattr(ingest, "land", land)
    job.refresh_from_db()
    assert (job.status, job.rows, job.added, job.bad) == ("running", 21, 20, 1)
    run_import(job)  # too early: its heart may still beat
    assert project.prompts.count() == 20
    Import.objects.update(heartbeat=timezone.now() - timedelta(minutes=1))
    assert wake_lost() == 1
    run_import(Import.objects.get(pk=job.pk))
    job.refresh_from_db()
    assert (job.status, job.rows, job.added, job.known, job.bad) == ("succeeded", 35, 33, 0, 2)
    assert [p["row"] for p in job.problems] == [4, 34]
    assert len(store().fetch(problems_key(job)).read_text().splitlines()) == 2


def test_a_cancelled_import_stops_at_the_next_batch_and_keeps_what_landed(queued, project, monkeypatch):
    monkeypatch.setattr(ingest, "BATCH_ROWS", 10)
    job = queued(*[row(n) for n in range(50)])
    ingest.run(job, store().fetch(job.file), progress=lambda running: running.rows == 20 and cancel(running))
    job.refresh_from_db()
    assert job.status == "cancelled" and job.added == project.prompts.count() == 20
    assert not cancel(job)


def test_a_full_disk_fails_with_what_to_do(queued, project, monkeypatch):
    job = queued(row(1))

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(ingest, "land", full)
    run_import(job)
    job.refresh_from_db()
    assert job.status == "failed" and "The disk is full" in job.message and not project.prompts.exists()


def test_an_upload_that_is_gone_says_so(queued):
    job = queued(row(1))
    store().remove(job.file)
    run_import(job)
    job.refresh_from_db()
    assert job.status == "failed" and "Upload it again" in job.message


def test_queries_do_not_grow_with_rows(project, file, django_assert_max_num_queries):
    path = file(*[row(n) for n in range(2000)])
    with django_assert_max_num_queries(30):
        import_path(project, path)
    counters_agree_fast(project)


def test_other_writers_ids_do_not_collide_with_reserved_ones(project, file, make_prompt):
    import_path(project, file(row(1)))
    made = make_prompt("By hand?")
    job = import_path(project, file(row(2)))
    assert job.added == 1 and project.prompts.count() == 3 and made.completions.count() == 3
    if connection.vendor == "sqlite":
        assert list(Prompt.objects.order_by("pk").values_list("pk", flat=True)) == [made.pk - 1, made.pk, made.pk + 1]


@pytest.mark.skipif(not SHARED.exists(), reason="the public data files are not on this machine")
def test_the_open_assistant_trees_give_212_ranked_groups_and_754_pairs(project):
    job = import_path(project, SHARED / "openassistant" / "en_100_tree.jsonl")
    assert (job.rows, job.added, job.bad) == (100, 214, 0)
    sizes = [ranking.ranked.count() for ranking in Ranking.objects.all()]
    assert len(sizes) == 212 and sum(n * (n - 1) // 2 for n in sizes) == 754
    assert import_path(project, SHARED / "openassistant" / "en_100_tree.jsonl").added == 0
    counters_agree(project)
