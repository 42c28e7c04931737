"""A project's prompts as frozen rows to answer: each with its reference and the columns that rewards read."""

from collections import Counter
from collections.abc import Iterator
from json import dumps
from json.encoder import encode_basestring as quoted
from typing import Any

from django.db.models import QuerySet

from annotation.freezing.blocks import COMMON, Block, NotFrozen, complete
from annotation.freezing.report import doubling
from annotation.importing.items import REWARD_COLUMNS
from annotation.models import Project, Prompt
from annotation.steps.labeled import digest

DEFAULTS = COMMON | {"unreferenced": True, "criteria": []}
CHUNK = 2000
TOO_FEW = (
    "A dataset needs at least 2 prompts, one to train on and one to evaluate on; here {there}. "
    "Import more prompts, or widen the filters."
)


class PromptRows:
    """One reading of a project's prompts; see freezing.Rows."""

    def __init__(self, project: Project, options: dict[str, Any]):
        self.project, self.options = project, options
        self.prompts = chosen_prompts(project, options)
        self.counts, self.columns, self.criteria, self.sizes = Counter(), Counter(), Counter(), Counter()

    @staticmethod
    def checked(options: dict[str, Any]) -> dict[str, Any]:
        options = complete(options, DEFAULTS)
        return {**options, "criteria": sorted(options["criteria"])}

    def state(self) -> dict[str, Any]:
        """A checksum of the prompts, their references and their columns."""
        if (count := self.prompts.count()) < 2:
            raise NotFrozen(TOO_FEW.format(there="is 1 prompt" if count else "are none"))
        return digest(self.prompts.order_by("pk"), ("fingerprint", "reference", "metadata"), ("metadata",))

    def total(self) -> int:
        return self.prompts.count()

    def blocks(self) -> Iterator[Block]:
        """Each chat once: the traces of one problem share theirs."""
        seen: set[str] = set()
        for pk, messages, reference, metadata, mark, problem, criterion in by_id(self.prompts):
            mark = problem or mark
            if mark in seen:
                yield Block(mark, [], 1)
                continue
            seen.add(mark)
            found = columns_of(metadata)
            self.count(messages, reference, found, criterion)
            yield Block(mark, [line(pk, messages, reference, found)], 1)

    def count(self, messages: list[dict], reference: str, found: dict[str, str], criterion: str | None) -> None:
        self.counts["rows"] += 1
        self.counts["referenced"] += bool(reference)
        self.columns.update(found.keys())
        self.criteria[criterion or ""] += 1
        self.sizes[sum(len(message["content"].split()) for message in messages).bit_length()] += 1

    def summary(self) -> dict[str, Any]:
        rows = self.counts["rows"]
        found = {"rows": rows, "prompts": rows, "rankings": 0, "referenced": self.counts["referenced"]}
        lengths = {"words": doubling(self.sizes)}
        return found | {"columns": dict(self.columns), "criteria": dict(self.criteria), "lengths": lengths}

    def too_few(self) -> str:
        return TOO_FEW.format(there="is 1 prompt, however often it stands there")

    def schema(self) -> Any:
        from annotation.freezing.columnar import prompts

        return prompts(REWARD_COLUMNS)

    def labels_then(self, until: Any) -> int:
        return 0


def chosen_prompts(project: Project, options: dict[str, Any]) -> QuerySet[Prompt]:
    prompts = Prompt.objects.filter(project=project)
    if not options.get("unreferenced", True):
        prompts = prompts.exclude(reference="")
    return prompts.filter(criterion__name__in=options["criteria"]) if options.get("criteria") else prompts


def by_id(prompts: QuerySet[Prompt]) -> Iterator[tuple]:
    columns = ("pk", "messages", "reference", "metadata", "fingerprint", "problem", "criterion__name")
    last = 0
    while chunk := list(prompts.filter(pk__gt=last).order_by("pk").values_list(*columns)[:CHUNK]):
        yield from chunk
        last = chunk[-1][0]


def columns_of(metadata: dict) -> dict[str, str]:
    """What rewards read beside the reference, each as one text: JSON where it is more than that.

    >>> columns_of({"tests": [{"call": "f()", "returns": "1"}], "entry_point": "f", "id": 7})
    {'tests': '[{"call": "f()", "returns": "1"}]', 'entry_point': 'f'}
    """
    found = {name: metadata[name] for name in REWARD_COLUMNS if metadata.get(name) not in (None, "", [], {})}
    return {
        name: value if isinstance(value, str) else dumps(value, ensure_ascii=False) for name, value in found.items()
    }


def line(pk: int, messages: list[dict], reference: str, columns: dict[str, str]) -> str:
    # Role first: jsonb keeps no order of keys, and a fingerprint depends on it.
    chat = ", ".join(f'{{"role": {quoted(m["role"])}, "content": {quoted(m["content"])}}}' for m in messages)
    said = "".join(f'"{name}": {quoted(value)}, ' for name, value in columns.items())
    return f'{{"prompt": [{chat}], "reference": {quoted(reference)}, {said}"prompt_id": {pk}}}\n'
