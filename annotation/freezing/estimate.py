"""How many pairs a freeze would give, quickly: counted on the newest rankings, carried over to all."""

from typing import Any

from django.db.models import Count

from annotation.freezing.pairs import chosen_rankings
from annotation.models import Project, RankedCompletion

LOOKED_AT = 3000


def estimate(project: Project, options: dict[str, Any]) -> dict[str, int | bool]:
    """Rankings, prompts, labelers and (about how many) pairs; `exact` when every ranking was looked at;
    `settled` when disagreement may leave fewer."""
    rankings = chosen_rankings(project, options).order_by()
    found = rankings.aggregate(
        rankings=Count("pk"), prompts=Count("prompt", distinct=True), labelers=Count("labeler", distinct=True)
    )
    newest = list(rankings.order_by("-pk").values_list("pk", flat=True)[:LOOKED_AT])
    pairs = pairs_in(newest)
    settled = options.get("disagreement", "keep") != "keep"
    scale = found["rankings"] / len(newest) if newest else 0
    return found | {"pairs": round(pairs * scale), "exact": len(newest) == found["rankings"], "settled": settled}


def pairs_in(rankings: list[int]) -> int:
    """Two completions on different ranks make a pair: all twos, less those within a tie."""
    places = RankedCompletion.objects.filter(ranking__in=rankings).order_by()
    of_ranking = places.values("ranking").annotate(n=Count("pk")).values_list("n", flat=True)
    of_rank = places.values("ranking", "rank").annotate(n=Count("pk")).values_list("n", flat=True)
    return sum(n * (n - 1) // 2 for n in of_ranking) - sum(n * (n - 1) // 2 for n in of_rank)
