"""Step labels as frozen rows, stepwise or by outcome: options, the state of the labels, rows a prompt at a time."""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from json import dumps
from json.encoder import encode_basestring as quoted
from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string

from annotation.freezing.blocks import COMMON, Block, NotFrozen, complete, one_of
from annotation.freezing.pairs import by_prompt
from annotation.models import Completion, Project, StepLabels
from annotation.steps.labeled import (
    LABEL,
    PEOPLE,
    SAID,
    Solved,
    belongs,
    chosen_labels,
    digest,
    has_a_say,
    sources_of,
    traces_of,
    voice_of,
)
from annotation.steps.report import TraceReport
from annotation.steps.values import LABELS, NEUTRAL, POLICIES, Voice, labels_of, others_of

DEFAULTS = COMMON | {
    "sources": [PEOPLE],  # whose labels; of a trace that several have labeled, the first one's count
    "labels": "hard",
    "policy": "all",
    "neutral": "good",
    "keep_unsure": True,
    "keep_bad": False,
    "others": True,
    "criteria": [],
}
OUTCOMES = {
    "answer": "right when the final answer is the reference",
    "steps": "right when every step is labeled good",
}
TOO_FEW = (
    "A dataset needs rows of at least 2 problems, one to train on and one to evaluate on; here {there}. "
    "{todo}, or widen the filters."
)


class StepwiseRows:
    """One reading of a project's step labels; see freezing.Rows."""

    defaults = DEFAULTS

    def __init__(self, project: Project, options: dict[str, Any]):
        self.project, self.options, self.report = project, options, TraceReport()
        self.labels = chosen_labels(project, options)

    @classmethod
    def checked(cls, options: dict[str, Any]) -> dict[str, Any]:
        options = complete(options, cls.defaults)
        for name, known in {"labels": LABELS, "policy": POLICIES, "neutral": NEUTRAL}.items():
            one_of(options, name, known)
        listed = isinstance(options["sources"], list) and all(isinstance(name, str) for name in options["sources"])
        if not listed or not options["sources"]:
            raise NotFrozen("sources is a list with whose labels to freeze, as in ['people', 'import'].")
        return {**options, "sources": list(options["sources"]), "criteria": sorted(options["criteria"])}

    def state(self) -> dict[str, Any]:
        """A checksum of all that is said by the chosen sources."""
        problems = self.labels.values("prompt__problem").distinct().count()
        if problems < 2:
            there = "is 1 problem with labels" if problems else "are none with labels"
            there += f" by {', '.join(self.options['sources'])}{there_are(self.project)}"
            raise NotFrozen(TOO_FEW.format(there=there, todo="Mark more solutions"))
        columns = (*SAID, "gave_up", "bad_problem", "prompt__fingerprint")
        return digest(self.labels.order_by("pk"), columns, SAID)

    def total(self) -> int:
        return self.labels.count()

    def blocks(self) -> Iterator[Block]:
        for whole in by_prompt(self.labels, (*LABEL, *SAID)):
            traces = traces_of([row[1] for row in whole])
            for prompt, group in groupby(whole, key=lambda row: row[1]):
                said = [(row[2], voice_of(row)) for row in group]
                if prompt in traces:
                    yield Block(traces[prompt].problem, self.rows(traces[prompt], said), len(said))

    def rows(self, trace: Solved, said: list[tuple[str, Voice]]) -> list[str]:
        """The rows of one trace: its own, and one for every other text of a step that was judged."""
        self.report.contradict(trace.prompt, [voice for _, voice in said], len(trace.steps))
        voices = self.first_heard(said)
        labels, hard = labels_of(voices, len(trace.steps), self.options) if voices else ([], [])
        others = self.others(trace, voices, hard)
        if labels.count(None) == len(labels) and not others:
            self.report.leave_out("no step is labeled good or bad")
            return []
        self.report.trace(trace.problem, trace.criterion, trace.steps, len(voices))
        source, pk = (voices[0].name, voices[0].pk) if len(voices) == 1 else (f"{len(voices)} sources together", None)
        found = [(trace.steps, labels)] if labels.count(None) < len(labels) else []
        if found:
            self.report.labeled(labels, hard)
        found += [self.instead(trace.steps, *other) for other in others]
        for _ in found:
            self.report.row(source)
        start = f'{{"prompt": {chat(trace.messages)}, "completions": '
        mark = f'"prompt_id": {trace.prompt}, "step_labels": {dumps(pk)}}}\n'
        return [f'{start}{texts(steps)}, "labels": {dumps(values)}, {mark}' for steps, values in found]

    def instead(self, steps: list[str], at: int, text: str, good: bool) -> tuple[list[str], list]:
        """The trace up to a step, with another text for it; only that one is labeled."""
        self.report.other(good)
        return [*steps[:at], text], [None] * at + [float(good) if self.options["labels"] == "soft" else good]

    def first_heard(self, said: list[tuple[str, Voice]]) -> list[Voice]:
        """The labels of the first chosen source that has any for this trace."""
        for entry in self.options["sources"]:
            if found := [voice for kind, voice in said if belongs(entry, kind, voice) and has_a_say(voice)]:
                return found
        return []

    def others(self, trace: Solved, voices: list[Voice], hard: list[bool | None]) -> list[tuple[int, str, bool]]:
        """Each other text once, the first source's word; after an error none, where steps after it do not count."""
        if not self.options["others"]:
            return []
        end = hard.index(False) if self.options["policy"] == "first_error" and False in hard else len(trace.steps)
        found: dict[tuple[int, str], bool] = {}
        for voice in voices:
            for step, text, good in others_of(voice, trace.steps, self.options["neutral"]):
                if step <= end and text != trace.steps[step]:
                    found.setdefault((step, text), good)
        return sorted((step, text, good) for (step, text), good in found.items())

    def summary(self) -> dict[str, Any]:
        every = Completion.objects.filter(prompt__project=self.project, steps__isnull=False).count()
        labeled = self.labels.order_by().values("prompt").distinct().count()
        left_out = {"not labeled by the chosen sources": every - labeled} if every > labeled else {}
        found = self.report.summary()
        return found | {"left_out": left_out | found["left_out"]}

    def too_few(self) -> str:
        there = f"{'is 1' if self.report.problems else 'are none'} with a step that is good or bad"
        return TOO_FEW.format(there=there, todo="Mark more solutions")

    def schema(self) -> Any:
        from annotation.freezing.columnar import stepwise

        return stepwise(self.options["labels"] == "soft")

    def labels_then(self, until: Any) -> int:
        given = StepLabels.objects.filter(prompt__project=self.project, created__lte=until)
        return given.filter(kind__in=StepLabels.PEOPLE).count()


class OutcomeRows(StepwiseRows):
    """Whole solutions, right or wrong: by their final answers, or by their steps."""

    defaults = DEFAULTS | {"outcome": "answer"}

    def __init__(self, project: Project, options: dict[str, Any]):
        super().__init__(project, options)
        self.by_answer = options["outcome"] == "answer"
        self.solved = Completion.objects.filter(prompt__project=project, steps__isnull=False)
        if options["criteria"]:
            self.solved = self.solved.filter(prompt__criterion__name__in=options["criteria"])

    @classmethod
    def checked(cls, options: dict[str, Any]) -> dict[str, Any]:
        options = super().checked(options)
        one_of(options, "outcome", OUTCOMES)
        return options

    def state(self) -> dict[str, Any]:
        if not self.by_answer:
            return super().state()
        problems = self.solved.values("prompt__problem").distinct().count()
        if problems < 2:
            there = "is 1 with a solution" if problems else "are none with a solution"
            raise NotFrozen(TOO_FEW.format(there=there, todo="Import or sample solutions"))
        columns = ("metadata", "prompt__fingerprint", "prompt__reference")
        return digest(self.solved.order_by("pk"), columns, ("metadata",))

    def total(self) -> int:
        return self.solved.count() if self.by_answer else super().total()

    def blocks(self) -> Iterator[Block]:
        if not self.by_answer:
            yield from super().blocks()
            return
        check = import_string(settings.ANSWER_CHECK)
        for whole in by_prompt(self.solved, ("pk", "prompt_id")):
            for trace in traces_of([prompt for _, prompt in whole]).values():
                yield Block(trace.problem, self.answered(trace, check), 1)

    def answered(self, trace: Solved, check: Callable[[str, str], bool | None]) -> list[str]:
        right = trace.metadata.get("correct")
        if not isinstance(right, bool):
            right = check(trace.text, trace.reference) if trace.reference else None
        if right is None:
            self.report.leave_out("no final answer to check" if trace.reference else "no reference answer")
            return []
        return self.judged(trace, right, 0, "final answers")

    def rows(self, trace: Solved, said: list[tuple[str, Voice]]) -> list[str]:
        self.report.contradict(trace.prompt, [voice for _, voice in said], len(trace.steps))
        voices = self.first_heard(said)
        _, hard = labels_of(voices, len(trace.steps), self.options) if voices else ([], [])
        if False not in hard and None in hard or not hard:
            self.report.leave_out("no step is bad, but not every step is labeled")
            return []
        name = voices[0].name if len(voices) == 1 else f"{len(voices)} sources together"
        return self.judged(trace, False not in hard, len(voices), name)

    def judged(self, trace: Solved, right: bool, labels: int, source: str) -> list[str]:
        self.report.trace(trace.problem, trace.criterion, trace.steps, labels)
        self.report.outcome(right)
        self.report.row(source)
        start = f'{{"prompt": {chat(trace.messages)}, "completions": {texts(trace.steps)}'
        return [f'{start}, "label": {dumps(right)}, "prompt_id": {trace.prompt}}}\n']

    def summary(self) -> dict[str, Any]:
        return self.report.summary() if self.by_answer else super().summary()

    def too_few(self) -> str:
        if not self.by_answer:
            return super().too_few()
        there = f"{'is 1' if self.report.problems else 'are none'} with an answer that can be checked"
        return TOO_FEW.format(there=there, todo="Give problems their reference answers")

    def schema(self) -> Any:
        from annotation.freezing.columnar import outcome

        return outcome()


def chat(messages: list[dict]) -> str:
    # Role first, as in pairs: jsonb keeps no order of keys, and a fingerprint depends on it.
    return (
        "[" + ", ".join(f'{{"role": {quoted(m["role"])}, "content": {quoted(m["content"])}}}' for m in messages) + "]"
    )


def texts(steps: Sequence[str]) -> str:
    return f"[{', '.join(map(quoted, steps))}]"


def there_are(project: Project) -> str:
    found = [name for name, _ in sources_of(project)]
    return f" (labels are there by {', '.join(found[:6])})" if found else ""
