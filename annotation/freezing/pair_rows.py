"""Rankings as frozen preference pairs: options, the state of the rankings, rows a prompt at a time."""

from collections.abc import Iterator
from typing import Any

from django.db.models import Count, F, Max, Sum
from django.db.models.functions import Coalesce

from annotation.freezing.blocks import COMMON, Block, NotFrozen, complete, one_of
from annotation.freezing.conversion import DISAGREEMENT, settle
from annotation.freezing.pairs import chosen_rankings, lines, prompts_with_pairs
from annotation.freezing.report import Report
from annotation.models import Project, RankedCompletion, Ranking

DEFAULTS = COMMON | {
    "margin": False,
    "disagreement": "keep",
    "keep_unsure": True,
    "keep_bad": False,
    "labelers": [],
    "sources": [],
    "criteria": [],
}
TOO_SMALL = (
    "A dataset needs pairs from at least 2 prompts, one to train on and one to evaluate on; here {there}. "
    "Rank more prompts, or widen the filters."
)


class PairRows:
    """One reading of a project's rankings; see freezing.Rows."""

    def __init__(self, project: Project, options: dict[str, Any]):
        self.project, self.options, self.report = project, options, Report()
        self.rankings = chosen_rankings(project, options)

    @staticmethod
    def checked(options: dict[str, Any]) -> dict[str, Any]:
        options = complete(options, DEFAULTS)
        one_of(options, "disagreement", DISAGREEMENT)
        return {**options, **{name: sorted(options[name]) for name in ("labelers", "sources", "criteria")}}

    def state(self) -> dict[str, Any]:
        """The last ranking, and a checksum of all that is said: equal for equal labels, from one query."""
        prompts = self.rankings.values("prompt").distinct().count()
        if prompts < 2:
            raise NotFrozen(TOO_SMALL.format(there="is 1 ranked prompt" if prompts else "are no ranked prompts"))
        found = self.rankings.aggregate(until=Coalesce(Max("pk"), 0), rankings=Count("pk"))
        place = F("rank") * 8 + Coalesce(F("rating"), 0)
        said = (F("completion_id") * 7919 % 1_000_003 + 1) * (F("ranking_id") % 1_000_033 + 1) * place
        ranked = RankedCompletion.objects.filter(ranking__in=self.rankings.order_by().values("pk")).order_by()
        total = ranked.aggregate(sum=Coalesce(Sum(said % 2_147_483_647), 0))["sum"]
        return {**found, "labels": int(total)}

    def total(self) -> int:
        return self.rankings.count()

    def blocks(self) -> Iterator[Block]:
        for prompt in prompts_with_pairs(self.rankings):
            pairs = settle(prompt.pairs, self.options["disagreement"])
            self.report.add(prompt, pairs, prompt.pairs)
            rows = lines(prompt, pairs, self.options["margin"]) if pairs else []
            yield Block(prompt.fingerprint, rows, len(prompt.rankings))

    def summary(self) -> dict[str, Any]:
        return self.report.summary()

    def too_few(self) -> str:
        there = "is 1 prompt with a pair" if self.summary()["prompts"] else "is no pair: every ranking is a tie"
        return TOO_SMALL.format(there=there)

    def schema(self) -> Any:
        from annotation.freezing.columnar import pairs

        return pairs(self.options["margin"])

    def labels_then(self, until: Any) -> int:
        """Labels asked for and given: votes are not asked for."""
        given = Ranking.objects.filter(prompt__project=self.project, created__lte=until)
        return given.exclude(source="comparison").count()
