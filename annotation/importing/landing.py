"""Put a batch of prepared prompts into the database: all of it or none, nothing twice, every counter right."""

import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby

from django.db import connection, transaction
from django.db.models import F, Value
from django.db.models.functions import Greatest
from django.utils import timezone

from annotation.bulk import Among, insert, reserve
from annotation.importing.prepare import Prepared
from annotation.models import Completion, Criterion, Lease, Project, Prompt, RankedCompletion, Ranking, Tally

CRITERIA = 100
NAMESPACE = uuid.UUID("5a1f0f2e-6f63-5b0e-9d2e-3d6c1c1a7c55")
PROMPT = (
    "id project_id criterion_id messages text reference metadata origin fingerprint "
    "labels_wanted labels_given open_slots created"
)
COMPLETION = "id prompt_id text source metadata fingerprint"
RANKING = "id prompt_id source key seconds comment all_bad unsure bad_prompt created"
RANKED = "ranking_id completion_id rank shown"


@dataclass
class Landed:
    """What became of a batch."""

    added: int = 0
    known: int = 0
    prompts: int = 0
    problems: list[tuple[int, str]] = field(default_factory=list)


@transaction.atomic
def land(project: Project, batch: Sequence[Prepared], origin: str = "import") -> Landed:
    """Store a batch. Items met before add only what is new; one that somebody works on is left alone and reported."""
    project = Project.objects.select_for_update(no_key=True).get(pk=project.pk)
    landed = Landed()
    batch = with_criteria(project, batch, landed)
    ids = dict(
        project.prompts.filter(Among(F("fingerprint"), [p.fingerprint for p in batch])).values_list("fingerprint", "pk")
    )
    fresh: dict[str, Prepared] = {}
    met = [p for p in batch if p.fingerprint in ids or fresh.setdefault(p.fingerprint, p) is not p]
    ids |= insert_fresh(project, list(fresh.values()), origin)
    landed.added, landed.prompts = len(fresh), len(fresh)
    if met:
        Meeting(project, ids, landed).all(met)
    if fresh:
        Project.objects.filter(pk=project.pk).update(prompt_count=F("prompt_count") + len(fresh))
    return landed


def with_criteria(project: Project, batch: Sequence[Prepared], landed: Landed) -> list[Prepared]:
    """The batch with criterion names known to the project; too many different ones are no criteria."""
    names = {p.criterion for p in batch} - {""}
    project.criterion_ids = dict(project.criteria.values_list("name", "pk")) if names else {}
    project.criterion_ids[""] = None
    for name in sorted(names - project.criterion_ids.keys()):
        if len(project.criterion_ids) <= CRITERIA:
            project.criterion_ids[name] = Criterion.objects.create(project=project, name=name).pk
    known = [p for p in batch if p.criterion in project.criterion_ids]
    too_many = f"the project would have more than {CRITERIA} criteria; is this the right column?"
    landed.problems += [(p.line, too_many) for p in batch if p.criterion not in project.criterion_ids]
    return known


def insert_fresh(project: Project, fresh: list[Prepared], origin: str) -> dict[str, int]:
    """Prompts nobody has seen, with completions and rankings; fingerprint → id."""
    now = connection.ops.adapt_datetimefield_value(timezone.now())
    ids = reserve(Prompt, len(fresh))
    answer_ids = iter(reserve(Completion, sum(len(p.answers) for p in fresh)))
    prompts, answers, rankings = [], [], []
    for pk, p in zip(ids, fresh, strict=True):
        given = 0
        marks = {mark: next(answer_ids) for mark in p.answers}
        answers += [(marks[mark], pk, *answer, mark) for mark, answer in p.answers.items()]
        if p.rankings:
            keyed = dict(zip(keys(project, p), p.rankings, strict=True))
            rankings.extend((pk, key, {marks[mark]: rank for mark, rank in r.items()}) for key, r in keyed.items())
            given = len(keyed)
        wanted = max(project.labels_wanted, given)
        counters = (wanted, given, wanted - given if len(p.answers) > 1 else 0)
        criterion = project.criterion_ids[p.criterion]
        texts = (p.messages, p.text, p.reference, p.metadata, origin, p.fingerprint)
        prompts.append((pk, project.pk, criterion, *texts, *counters, now))
    insert(Prompt, PROMPT, prompts)
    insert(Completion, COMPLETION, answers)
    insert_rankings(project, rankings)
    return {p.fingerprint: pk for pk, p in zip(ids, fresh, strict=True)}


def keys(project: Project, p: Prepared) -> list[uuid.UUID]:
    """A key for each ranking, the same whenever the same ranking of the same prompt is imported."""
    said = [",".join(f"{mark}={rank}" for mark, rank in sorted(ranking.items())) for ranking in p.rankings]
    return [
        uuid.uuid5(NAMESPACE, f"{project.pk}:{p.fingerprint}:{text}:{said[:place].count(text)}")
        for place, text in enumerate(said)
    ]


def insert_rankings(project: Project, rankings: list[tuple[int, uuid.UUID, dict[int, int]]]) -> None:
    """Rankings as (prompt, key, completion → rank); they count on the project's tally of today."""
    if not rankings:
        return
    moment = timezone.now()
    now = connection.ops.adapt_datetimefield_value(moment)
    native = connection.features.has_native_uuid_field
    ids = reserve(Ranking, len(rankings))
    insert(
        Ranking,
        RANKING,
        [
            (pk, prompt, "import", key if native else key.hex, 0.0, "", False, False, False, now)
            for pk, (prompt, key, _) in zip(ids, rankings, strict=True)
        ],
    )
    insert(
        RankedCompletion,
        RANKED,
        [
            (pk, completion, rank, shown)
            for pk, (_, _, ranks) in zip(ids, rankings, strict=True)
            for shown, (completion, rank) in enumerate(ranks.items(), 1)
        ],
    )
    tally, _ = Tally.objects.get_or_create(project=project, labeler=None, day=moment.date())
    Tally.objects.filter(pk=tally.pk).update(labels=F("labels") + len(rankings))


class Meeting:
    """Items whose prompt is here already: they add completions and rankings that are new."""

    def __init__(self, project: Project, ids: dict[str, int], landed: Landed):
        self.project, self.ids, self.landed = project, ids, landed

    def all(self, met: list[Prepared]) -> None:
        prompts = {self.ids[p.fingerprint] for p in met}
        list(
            Prompt.objects.select_for_update(no_key=True)
            .filter(Among(F("pk"), prompts))
            .order_by("pk")
            .values_list("pk")
        )
        self.marks: dict[int, dict[str, int]] = {pk: {} for pk in prompts}
        for prompt, mark, pk in (
            Completion.objects.filter(Among(F("prompt_id"), prompts))
            .order_by()
            .values_list("prompt", "fingerprint", "pk")
        ):
            self.marks[prompt][mark] = pk
        self.busy = set(Lease.objects.filter(Among(F("prompt_id"), prompts)).values_list("prompt", flat=True))
        self.busy |= set(
            Ranking.objects.filter(Among(F("prompt_id"), prompts), labeler__isnull=False).values_list(
                "prompt", flat=True
            )
        )
        self.load_rankings([p for p in met if p.rankings], {self.ids[p.fingerprint] for p in met if p.rankings})
        self.answers, self.rankings, self.grown = [], [], set()
        new = sum(mark not in self.marks[self.ids[p.fingerprint]] for p in met for mark in p.answers)
        self.answer_ids = iter(reserve(Completion, new))
        for p in met:
            self.one(p)
        self.store()

    def one(self, p: Prepared) -> None:
        pk = self.ids[p.fingerprint]
        marks, new = self.marks[pk], [mark for mark in p.answers if mark not in self.marks[pk]]
        if new and pk in self.busy:
            reason = f"the prompt is here and people rank it; {len(new)} new completions were left out"
            self.landed.problems.append((p.line, reason))
            return
        for mark in new:
            marks[mark] = next(self.answer_ids)
            self.answers.append((marks[mark], pk, *p.answers[mark], mark))
            self.grown.add(pk)
        rankings = self.new_rankings(p, pk, marks)
        self.rankings += rankings
        if new or rankings:
            self.landed.added += 1
        else:
            self.landed.known += 1

    def new_rankings(self, p: Prepared, pk: int, marks: dict[str, int]) -> list[tuple]:
        """Those the prompt lacks: the second of two equal rankings is new only where there is one so far."""
        new, met = [], Counter()
        for key, ranking in zip(keys(self.project, p), p.rankings, strict=True):
            ranks = {marks[mark]: rank for mark, rank in ranking.items()}
            said = (pk, frozenset(ranks.items()))
            met[said] += 1
            if self.said[said] < met[said] and key not in self.keys:
                self.said[said] += 1
                self.keys.add(key)
                new.append((pk, key, ranks))
        return new

    def load_rankings(self, met: list[Prepared], prompts: set[int]) -> None:
        """What has been said of these prompts already, by whomever, and which keys are taken."""
        wanted = {key for p in met for key in keys(self.project, p)}
        self.keys = set(Ranking.objects.filter(Among(F("key"), wanted)).values_list("key", flat=True))
        places = RankedCompletion.objects.filter(Among(F("ranking__prompt_id"), prompts)).order_by("ranking_id")
        rows = places.values_list("ranking_id", "ranking__prompt_id", "completion_id", "rank")
        self.said = Counter(
            (prompt, frozenset(row[2:] for row in group))
            for (_, prompt), group in groupby(rows, key=lambda row: row[:2])
        )

    def store(self) -> None:
        insert(Completion, COMPLETION, self.answers)
        insert_rankings(self.project, self.rankings)
        rankable = [pk for pk in self.grown if len(self.marks[pk]) > 1]
        Prompt.objects.filter(Among(F("pk"), rankable)).update(open_slots=F("labels_wanted") - F("labels_given"))
        gained = Counter(pk for pk, _, _ in self.rankings)
        for more in set(gained.values()):
            count_rankings([pk for pk, n in gained.items() if n == more], more)


def count_rankings(prompts: list[int], more: int) -> None:
    """Rankings take open slots first; beyond those the prompt is said to want as many as it has."""
    Prompt.objects.filter(Among(F("pk"), prompts)).update(
        labels_given=F("labels_given") + more,
        labels_wanted=F("labels_wanted") + Greatest(Value(more) - F("open_slots"), Value(0)),
        open_slots=Greatest(F("open_slots") - more, Value(0)),
    )
