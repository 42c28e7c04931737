"""Frozen datasets: the same labels give the same rows, prompts never cross the split, TRL takes them unchanged."""

import hashlib
import json
import random
from datetime import timedelta

import pytest
from django.utils import timezone

from annotation.freezing import freeze as freezing
from annotation.freezing.estimate import estimate
from annotation.freezing.freeze import NotFrozen, freeze, held_out_prompts, place_of, wake_lost, write
from annotation.models import Dataset, RankedCompletion, Ranking, Tally
from annotation.store import store

pytestmark = pytest.mark.django_db


@pytest.fixture
def rank(project):
    def rank(prompt, labeler, ranks=None, ratings=None, **flags):
        completions = list(prompt.completions.all())
        ranks = ranks or range(1, len(completions) + 1)
        ranking = Ranking.objects.create(prompt=prompt, labeler=labeler, **flags)
        for shown, (completion, place) in enumerate(zip(completions, ranks, strict=True), 1):
            rating = ratings[shown - 1] if ratings else None
            RankedCompletion.objects.create(
                ranking=ranking, completion=completion, rank=place, rating=rating, shown=shown
            )
        return ranking

    return rank


@pytest.fixture
def labeled(make_prompt, rank, bob):
    """Thirty prompts of three completions, each ranked by bob."""
    prompts = [make_prompt(f"Question {n}?", ("Good – sí.", "Fair.", f"Bad {n}.")) for n in range(30)]
    for prompt in prompts:
        rank(prompt, bob)
    return prompts


def now(project, name="Pairs", **options):
    return freeze(project, name, options, background=False)


def rows(dataset, split):
    return [json.loads(line) for line in store().fetch(f"{dataset.folder}/{split}.jsonl").open()]


def test_rankings_become_rows_split_by_prompt_with_a_fingerprint_one_can_check(project, labeled):
    dataset = now(project)
    train, held_out = rows(dataset, "train"), rows(dataset, "eval")
    assert (dataset.status, dataset.rows_train, dataset.rows_eval) == ("ready", len(train), len(held_out))
    assert len(train) + len(held_out) == 90 and dataset.ranking_count == 30 and held_out
    assert not {row["prompt_id"] for row in train} & {row["prompt_id"] for row in held_out}
    folder = store().fetch(dataset.folder)
    whole = (folder / "train.jsonl").read_bytes() + (folder / "eval.jsonl").read_bytes()
    assert dataset.fingerprint == hashlib.sha256(whole).hexdigest()
    assert train[0] == {
        "prompt": [{"role": "user", "content": labeled[0].text}],
        "chosen": [{"role": "assistant", "content": "Good – sí."}],
        "rejected": [{"role": "assistant", "content": "Fair."}],
        "ranking": train[0]["ranking"],
        "prompt_id": labeled[0].pk,
    }
    assert sorted(file.name for file in folder.iterdir()) == [
        "eval.jsonl",
        "eval.parquet",
        "train.jsonl",
        "train.parquet",
    ]


def test_freezing_the_same_labels_twice_gives_the_same_dataset(project, labeled, rank, alice):
    first = now(project)
    again = now(project, "Another name")
    assert again.pk == first.pk and again.again and not first.again
    rank(labeled[0], alice)
    changed = now(project)
    assert changed.pk != first.pk and changed.slug == "pairs-2" and changed.fingerprint != first.fingerprint


def test_a_changed_rank_is_a_changed_label(project, labeled):
    seen = {now(project).fingerprint}
    for prompt in labeled[:4]:  # swaps that a sum of ranks would not notice
        first, second, _ = RankedCompletion.objects.filter(ranking__prompt=prompt)
        RankedCompletion.objects.filter(pk=first.pk).update(rank=second.rank)
        RankedCompletion.objects.filter(pk=second.pk).update(rank=first.rank)
        seen.add(now(project).fingerprint)
    assert len(seen) == 5


def test_a_ranking_that_adds_no_row_gives_the_older_dataset(project, labeled, rank, make_prompt, bob):
    first = now(project)
    rank(make_prompt("All the same?"), bob, [1, 1, 1])
    again = now(project)
    assert again.pk == first.pk and again.again and Dataset.objects.count() == 1


def test_writing_again_gives_byte_for_byte_the_same_files(project, labeled):
    first = now(project)
    before = {file.name: file.read_bytes() for file in store().fetch(first.folder).iterdir()}
    Dataset.objects.filter(pk=first.pk).update(status="failed")  # so that it is no twin
    second = now(project, "Twin")
    after = {file.name: file.read_bytes() for file in store().fetch(second.folder).iterdir()}
    assert first.fingerprint == second.fingerprint and before == after


def test_a_prompt_never_changes_sides_as_labels_come(project, labeled, rank, make_prompt, bob):
    held_out = {row["prompt_id"] for row in rows(now(project), "eval")}
    for n in range(30, 60):
        rank(make_prompt(f"Question {n}?"), bob)
    later = {row["prompt_id"] for row in rows(now(project), "eval")}
    assert later & {prompt.pk for prompt in labeled} == held_out
    shares = [place_of(str(n), 42) < 0.1 for n in range(10_000)]
    assert 0.09 < sum(shares) / 10_000 < 0.11


def test_a_small_dataset_still_has_both_sides_and_one_prompt_is_refused(project, make_prompt, rank, bob, alice):
    with pytest.raises(NotFrozen, match="here are no ranked prompts"):
        now(project)
    prompt = make_prompt("One?")
    rank(prompt, bob)
    with pytest.raises(NotFrozen, match="here is 1 ranked prompt"):
        now(project)
    other = make_prompt("Two?")
    ranking = rank(other, bob, [1, 1, 1])
    with pytest.raises(NotFrozen, match="here is 1 prompt with a pair"):
        now(project)
    ranking.ranked.all().delete()
    ranking.delete()
    rank(other, alice)
    for seed in range(5):
        dataset = now(project, seed=seed)
        assert dataset.rows_train == dataset.rows_eval == 3


def test_flags_sources_labelers_and_criteria_choose_the_rankings(project, make_prompt, rank, alice, bob):
    helpful = project.criteria.create(name="helpful")
    for n in range(4):
        rank(make_prompt(f"Plain {n}?", wanted=3), bob)
        rank(make_prompt(f"Helpful {n}?", criterion=helpful), alice, source="api")
    rank(make_prompt("Bad?"), bob, all_bad=True)
    rank(make_prompt("Broken?"), bob, bad_prompt=True)
    rank(make_prompt("Unsure?"), bob, unsure=True)
    counts = {
        "everything usable": (now(project), 9),
        "without unsure": (now(project, keep_unsure=False), 8),
        "bad ones too": (now(project, keep_bad=True), 11),
        "by alice": (now(project, labelers=[alice.pk]), 4),
        "from the page": (now(project, sources=["page"]), 5),
    }
    assert {name: dataset.ranking_count for name, (dataset, _) in counts.items()} == {
        name: expected for name, (_, expected) in counts.items()
    }
    same = now(project, criteria=["helpful"])  # alice's rows again
    assert same.again and same.pk == counts["by alice"][0].pk
    report = counts["everything usable"][0].report
    assert report["criteria"] == {"": 15, "helpful": 12} and report["sources"] == {"page": 15, "api": 12}
    assert report["labelers"] == {str(bob.pk): 15, str(alice.pk): 12}


def test_labels_a_dataset_leaves_out_are_not_new_ones(project, labeled, rank, make_prompt, alice, bob):
    rank(make_prompt("All bad", ("Worse.", "Worst.")), bob, all_bad=True)
    dataset = now(project)
    rank(labeled[0], alice)
    assert (dataset.ranking_count, dataset.labels_then) == (30, 31)


def test_disagreement_is_kept_or_settled_as_asked(project, make_prompt, rank, alice, bob, carol):
    for n in range(3):
        prompt = make_prompt(f"Question {n}?", ("a", "b"), wanted=3)
        for labeler, ranks in ((alice, [1, 2]), (bob, [1, 2]), (carol, [2, 1] if n else [1, 2])):
            rank(prompt, labeler, ranks)
    kept, majority = now(project), now(project, disagreement="majority")
    assert kept.report["rows"] == 9 and kept.report["contradictions"] == 2 and kept.report["duplicates"] == 4
    assert majority.report["rows"] == 3 and majority.report["duplicates"] == 0
    assert {row["chosen"][0]["content"] for row in rows(majority, "train")} == {"a"}
    with pytest.raises(NotFrozen):
        now(project, disagreement="unanimous")


def test_margins_come_from_ratings_or_ranks(project, make_prompt, rank, bob):
    rank(make_prompt("Rated?", ("a", "b")), bob, [1, 2], ratings=[7, 1])
    rank(make_prompt("Ranked?"), bob)
    dataset = now(project, margin=True)
    margins = sorted(row["margin"] for split in ("train", "eval") for row in rows(dataset, split))
    assert margins == [0.5, 0.5, 1.0, 1.0]


def test_options_that_make_no_sense_are_refused(project, labeled):
    for options, why in [
        ({"beta": 1}, "Unknown option 'beta'"),
        ({"eval_share": 0.9}, "between 1 % and 50 %"),
        ({"disagreement": "vote"}, "one of keep, majority, unanimous"),
    ]:
        with pytest.raises(NotFrozen, match=why):
            now(project, **options)


def test_a_full_disk_leaves_a_failed_dataset_and_no_files(project, labeled, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(freezing, "fingerprint_of", full)
    with pytest.raises(NotFrozen, match="No space left"):
        now(project)
    dataset = Dataset.objects.get()
    assert dataset.status == "failed"
    assert not list(store().work("datasets/x").parent.glob("*.partial"))


def test_a_freeze_whose_worker_was_lost_is_sent_again_and_ends(project, labeled):
    dataset = freeze(project, "Pairs", {}, None)
    assert dataset.status == "freezing" and wake_lost() == 0
    Dataset.objects.update(created=timezone.now() - timedelta(minutes=2))
    assert wake_lost() == 1 and wake_lost() == 0
    write(Dataset.objects.get())
    write(Dataset.objects.get())  # the same message, delivered again
    assert Dataset.objects.get().status == "ready"


def test_held_out_prompts_are_the_eval_split_once_each(project, labeled):
    dataset = now(project, eval_share=0.3)
    held_out = held_out_prompts(dataset)
    assert len(held_out) == len({row["prompt_id"] for row in rows(dataset, "eval")}) > 1
    assert held_out[0][0]["role"] == "user"


def test_the_estimate_is_exact_for_few_rankings(project, labeled, rank, make_prompt, bob):
    rank(make_prompt("A tie?"), bob, [1, 1, 2])
    about = estimate(project, {})
    assert (about["pairs"], about["rankings"], about["prompts"], about["exact"]) == (92, 31, 31, True)
    assert now(project).report["rows"] == 92
    assert estimate(project, {"sources": ["api"]})["pairs"] == 0


def test_a_prompt_with_more_rankings_than_a_chunk_stays_whole(project, labeled, monkeypatch):
    whole = now(project)
    monkeypatch.setattr("annotation.freezing.pairs.CHUNK", 1)
    Dataset.objects.filter(pk=whole.pk).update(status="failed")
    assert now(project, "Twin").fingerprint == whole.fingerprint


@pytest.mark.parametrize("format", ["json", "parquet"])
def test_datasets_loads_it_and_trl_prepares_it_unchanged(project, labeled, tmp_path, format, monkeypatch):
    datasets, trl = pytest.importorskip("datasets"), pytest.importorskip("trl")
    from tests.tiny import tiny_model

    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    frozen = now(project, margin=True)
    folder, suffix = store().fetch(frozen.folder), {"json": "jsonl"}.get(format, format)
    files = {split: str(folder / f"{split}.{suffix}") for split in ("train", "eval")}
    data = datasets.load_dataset(format, data_files=files, cache_dir=str(tmp_path / "cache"))
    assert data["train"].num_rows == frozen.rows_train
    assert data["train"].column_names == ["prompt", "chosen", "rejected", "margin", "ranking", "prompt_id"]
    model = str(tiny_model(tmp_path / "model", num_hidden_layers=1))
    common = {"output_dir": str(tmp_path), "report_to": [], "bf16": False, "use_cpu": True}
    for name in ("Reward", "DPO"):
        arguments = getattr(trl, f"{name}Config")(**common)
        trainer = getattr(trl, f"{name}Trainer")(
            model=model, args=arguments, train_dataset=data["train"], eval_dataset=data["eval"]
        )
        assert len(trainer.train_dataset) == frozen.rows_train, name
        assert next(iter(trainer.get_train_dataloader())), name


def test_bulk_order_does_not_depend_on_insertion(project, make_prompt, rank, alice, bob):
    prompts = [make_prompt(f"Question {n}?", wanted=2) for n in range(6)]
    random.Random(1).shuffle(prompts)
    for prompt in prompts:
        rank(prompt, random.choice([alice, bob]))
    train = rows(now(project), "train")
    assert [(row["prompt_id"], row["ranking"]) for row in train] == sorted(
        (row["prompt_id"], row["ranking"]) for row in train
    )
    assert not Tally.objects.exists()
