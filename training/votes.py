"""What people said of a model against its base: their rankings in which answers of both stand."""

from collections import defaultdict
from typing import Any

from annotation.models import RankedCompletion, Ranking
from training.evaluation import Share, win_rate
from training.models import ModelVersion

NEWEST = 400  # rankings counted
DRAWS = 500  # of the bootstrap


def against_base(model: ModelVersion, user: Any) -> Share | None:
    """Its win rate over its base, by prompt, in rankings that this person may see; None without any.

    Votes on the comparison page are rankings too. Answers that a search found are the search's, and are left out.
    """
    if model.base_id is None:
        return None
    pair = (model.pk, model.base_id)
    ranked = RankedCompletion.objects.filter(completion__generation__model__in=pair)
    ranked = ranked.exclude(completion__generation__sampling__has_key="strategy")
    both = (
        Ranking.objects.visible_to(user)
        .filter(labeler__isnull=False, pk__in=ranked.filter(completion__generation__model=model).values("ranking"))
        .filter(pk__in=ranked.filter(completion__generation__model=model.base_id).values("ranking"))
        .order_by("-pk")
        .values_list("pk", flat=True)[:NEWEST]
    )
    rows = ranked.filter(ranking__in=list(both)).values_list(
        "ranking", "ranking__prompt__text", "completion__generation__model", "rank"
    )
    ranks: dict[tuple[int, str], dict[int, list[int]]] = defaultdict(lambda: {number: [] for number in pair})
    for ranking, text, number, rank in rows:
        ranks[ranking, text][number].append(rank)
    by_prompt = defaultdict(list)
    for (_, text), found in ranks.items():
        by_prompt[text] += [(-ours, -theirs) for ours in found[model.pk] for theirs in found[model.base_id]]
    return win_rate(list(by_prompt.values()), draws=DRAWS) if by_prompt else None
