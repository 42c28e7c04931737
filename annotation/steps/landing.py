"""Put traces into a project of kind `steps`: one prompt a solution, each source's labels once, nothing twice."""

import uuid
from collections import defaultdict
from collections.abc import Iterable, Sequence

from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

from annotation.bulk import Among, insert, reserve
from annotation.importing import cells
from annotation.importing.items import Item, Said, Trace
from annotation.importing.landing import Landed, with_criteria
from annotation.importing.prepare import canonical
from annotation.models import Alternative, Completion, Project, Prompt, StepLabels
from annotation.steps.preparing import PreparedTrace, prepare_trace
from annotation.steps.splitting import split

SOURCE = 120  # characters of StepLabels.source
PROMPT = (
    "id project_id criterion_id messages text reference metadata origin fingerprint problem "
    "labels_wanted labels_given open_slots created"
)
COMPLETION = "id prompt_id text source metadata fingerprint steps"
ALTERNATIVE = "completion_id step text source"
LABELS = (
    "prompt_id kind source key ratings scores errors notes proposed rewrites alternatives flagged gave_up "
    "bad_problem seconds words comment created"
)
FILL = """
    UPDATE annotation_prompt SET fingerprint = %s, problem = %s, open_slots = labels_wanted - labels_given,
        reference = CASE WHEN reference = '' THEN %s ELSE reference END WHERE id = %s"""


def add_solutions(
    problem: Prompt, solutions: Sequence[tuple[str, list[str] | None, str, dict | None]], origin: str = "import"
) -> list[Prompt]:
    """Give a problem solutions, each (text, steps, who wrote it, metadata); the prompts that hold them, in this order.

    The first fills a problem that waits for one; every other is a prompt of its own with the same messages, reference
    and criterion. A solution that is there already is returned as it is. Steps that are None are cut by the project's
    rule. BadRow where a text cannot be kept.
    """
    project = problem.project
    facts = {"reference": problem.reference, "metadata": problem.metadata}
    facts["criterion"] = problem.criterion.name if problem.criterion_id else ""
    prepared = []
    for number, (text, steps, source, metadata) in enumerate(solutions, 1):
        cells.as_text(text, f"solution {number}")
        answer = cells.Completion(text, source, metadata)
        trace = Trace(list(steps) if steps else split(text, project.split_rule))
        prepared.append(prepare_trace(number, Item(problem.messages, [answer], trace=trace, **facts)))
    land_traces(project, prepared, origin)
    found = {
        prompt.fingerprint: prompt
        for prompt in project.prompts.filter(fingerprint__in=[p.fingerprint for p in prepared])
    }
    return [found[p.fingerprint] for p in prepared]


@transaction.atomic
def land_traces(
    project: Project, batch: Sequence[PreparedTrace], origin: str = "import", source: str = "import"
) -> Landed:
    """Store a batch. `source` names labels that name none: their file. They take no slot: people are still asked."""
    project = Project.objects.select_for_update(no_key=True).get(pk=project.pk)
    landed = Landed()
    batch = with_criteria(project, batch, landed)
    sorting = Sorting(project, batch)
    sorting.store(origin)
    changed = sorting.new | Labeling(sorting, source, landed).store()
    landed.prompts, landed.added = len(sorting.fresh), len(changed)
    landed.known = len(batch) - len(changed)
    return landed


class Sorting:
    """A batch against what the project has: prompts that are new, problems that get their first solution, the rest."""

    def __init__(self, project: Project, batch: Sequence[PreparedTrace]):
        self.project, self.batch = project, batch
        marks = {p.fingerprint for p in batch} | {p.problem for p in batch}
        self.ids = dict(project.prompts.filter(Among(F("fingerprint"), marks)).values_list("fingerprint", "pk"))
        alone = {p.problem for p in batch if not p.solution}
        self.begun = set(project.prompts.filter(Among(F("problem"), alone)).values_list("problem", flat=True))
        self.fresh: dict[str, PreparedTrace] = {}
        self.filled: dict[str, tuple[int, PreparedTrace]] = {}
        self.new: set[int] = set()  # places in the batch of what was not there
        for place, p in enumerate(batch):
            if self.sort(p):
                self.new.add(place)

    def sort(self, p: PreparedTrace) -> bool:
        """Whether it is new."""
        if p.fingerprint in self.ids or p.fingerprint in self.fresh or p.fingerprint in self.filled:
            return False
        if not p.solution:
            if p.problem in self.begun:
                return False
        elif p.problem in self.ids:  # a problem that waits for its first solution
            self.filled[p.fingerprint] = self.ids.pop(p.problem), p
            return True
        else:
            self.fresh.pop(p.problem, None)
        self.begun.add(p.problem)
        self.fresh[p.fingerprint] = p
        return True

    def store(self, origin: str) -> None:
        now = connection.ops.adapt_datetimefield_value(timezone.now())
        wanted, criteria = self.project.labels_wanted, self.project.criterion_ids
        ids = dict(zip(self.fresh, reserve(Prompt, len(self.fresh)), strict=True))
        rows = []
        for mark, pk in ids.items():
            p = self.fresh[mark]
            texts = (p.messages, p.text, p.reference, p.metadata, origin, p.fingerprint, p.problem)
            counters = (wanted, 0, wanted if p.solution else 0)
            rows.append((pk, self.project.pk, criteria[p.criterion], *texts, *counters, now))
        insert(Prompt, PROMPT, rows)
        Project.objects.filter(pk=self.project.pk).update(prompt_count=F("prompt_count") + len(rows))
        with connection.cursor() as cursor:
            fills = [(mark, p.problem, p.reference, pk) for mark, (pk, p) in self.filled.items()]
            cursor.executemany(FILL, fills) if fills else None
        ids |= {mark: pk for mark, (pk, _) in self.filled.items()}
        self.met, self.ids = set(self.ids.values()), self.ids | ids
        self.store_solutions({pk: self.solved(mark) for mark, pk in ids.items() if self.solved(mark).solution})

    def solved(self, mark: str) -> PreparedTrace:
        return self.fresh.get(mark) or self.filled[mark][1]

    def store_solutions(self, traces: dict[int, PreparedTrace]) -> None:
        self.completions = dict(zip(traces, reserve(Completion, len(traces)), strict=True))
        rows = [
            (self.completions[pk], pk, *p.solution.answer, p.solution.mark, p.solution.steps)
            for pk, p in traces.items()
        ]
        insert(Completion, COMPLETION, rows)


class Labeling:
    """What a batch says of its traces, beside what has been said of them by then."""

    def __init__(self, sorting: Sorting, source: str, landed: Landed):
        self.sorting, self.source, self.landed = sorting, source, landed
        self.placed = [(place, sorting.ids[p.fingerprint], p) for place, p in enumerate(sorting.batch) if p.solution]
        self.said: dict[tuple, list] = {}  # (prompt, kind, source) → ratings, scores
        self.people: dict[tuple, list] = {}  # (prompt, labeler) → ratings
        self.rows: list[tuple] = []

    def store(self) -> set[int]:
        """Places in the batch that said something new."""
        self.recall({pk for _, pk, p in self.placed if p.solution.said} & self.sorting.met)
        self.now = connection.ops.adapt_datetimefield_value(timezone.now())
        new = {place for place, pk, p in self.placed if self.label(pk, p)}
        insert(StepLabels, LABELS, self.rows)
        self.store_alternatives()
        return new

    def recall(self, prompts: set[int]) -> None:
        columns = ("prompt", "kind", "source", "labeler__username", "ratings", "scores")
        for pk, kind, source, labeler, *said in StepLabels.objects.filter(Among(F("prompt_id"), prompts)).values_list(
            *columns
        ):
            if labeler:
                self.people[pk, labeler] = said
            else:
                self.said[pk, kind, source] = said

    def label(self, pk: int, p: PreparedTrace) -> bool:
        before = len(self.rows)
        for said in p.solution.said:
            name = self.name_of(said)
            told = [said.ratings, said.scores]
            earlier = self.said.get((pk, said.kind, name)) or self.people.get((pk, said.source.removeprefix(":")))
            if earlier is None:
                self.said[pk, said.kind, name] = told
                self.rows.append(self.row(pk, said, name))
            elif earlier != told:
                reason = f"{said.kind}:{name} has said something else of this solution before, and that stays"
                self.landed.problems.append((p.line, reason))
        return len(self.rows) > before

    def name_of(self, said: Said) -> str:
        """The source; a labeler whom the file names stands after the file's name."""
        if said.source and not said.source.startswith(":"):
            return said.source[:SOURCE]
        return self.source[: max(1, SOURCE - len(said.source))] + said.source[:80]

    def row(self, pk: int, said: Said, name: str) -> tuple:
        key = uuid.uuid4()
        lists = (canonical(said.ratings), *(values and canonical(values) for values in (said.scores, said.errors)))
        objects = [canonical(value) for value in (said.notes, {}, said.rewrites, said.alternatives, said.flagged)]
        flags = (said.gave_up, said.bad_problem, said.seconds, 0, said.comment, self.now)
        native = connection.features.has_native_uuid_field
        return pk, said.kind, name, key if native else key.hex, *lists, *objects, *flags

    def store_alternatives(self) -> None:
        """Other texts of a step, each once."""
        wanted = {pk: p.solution.alternatives for _, pk, p in self.placed if p.solution.alternatives}
        known = defaultdict(set)
        answers = dict(self.sorting.completions)
        for answer, prompt in self.earlier_answers(wanted.keys() - answers.keys()):
            answers[prompt] = answer
        found = Alternative.objects.filter(Among(F("completion_id"), [answers[pk] for pk in wanted]))
        for completion, *other in found.values_list("completion", "step", "text"):
            known[completion].add(tuple(other))
        rows = []
        for _, pk, p in self.placed:
            for step, text, source in p.solution.alternatives:
                if (step, text) not in known[answers[pk]]:
                    known[answers[pk]].add((step, text))
                    rows.append((answers[pk], step, text, source))
        insert(Alternative, ALTERNATIVE, rows)

    def earlier_answers(self, prompts: Iterable[int]) -> Iterable[tuple[int, int]]:
        found = Completion.objects.filter(Among(F("prompt_id"), set(prompts))).order_by()
        return found.values_list("pk", "prompt")
