"""The ranking page: the form its card makes of a prompt with completions, and what such a form says."""

from html import unescape
from typing import Any

from django.utils.html import strip_tags

from annotation.models import Project
from annotation.ranking import next_prompt, save_draft, submit_held, submit_ranking
from annotation.ranks import FLAGS
from annotation.templatetags.text import markdown
from annotation.views.labeling import Page

RATINGS = range(1, 8)


def said_in(post) -> dict[str, Any]:
    """The form as `ranks.checked` reads it. `best` is the one key of two completions: an id, `tie` or `none`."""
    shown = post.get("shown", "").split(",")
    said: dict[str, Any] = {flag: bool(post.get(flag)) for flag in FLAGS}
    said |= {"comment": post.get("comment", ""), "seconds": post.get("seconds"), "shown": shown}
    for field in ("rank", "rating"):
        start = f"{field}_"
        said[f"{field}s"] = {
            name.removeprefix(start): post[name] for name in post if name.startswith(start) and post[name]
        }
    if best := post.get("best"):
        undecided = best in ("tie", "none")
        said["ranks"] = dict.fromkeys(shown, "1") if undecided else dict.fromkeys(shown, "2") | {best: "1"}
        said["all_bad"] = said["all_bad"] or best == "none"
    return said


def filled(project: Project, task: dict, draft: dict, errors: dict) -> dict[str, Any]:
    """The completions with what the draft says of each. What has an error at one is taken out of `errors`."""
    for completion in task["completions"]:
        pk = str(completion["id"])
        completion["html"] = markdown(completion["text"])
        completion["start"] = unescape(strip_tags(completion["html"][:400])).strip()[:80]
        completion["rank"] = draft.get("ranks", {}).get(pk)
        completion["rating"] = draft.get("ratings", {}).get(pk)
        completion["error"] = errors.pop(f"rank_{pk}", "") or errors.pop(f"rating_{pk}", "")
    count = len(task["completions"])
    return {
        "pair": count == 2,
        "places": range(1, count + 1),
        "ratings": RATINGS if project.ask_ratings else (),
        "shown": ",".join(str(completion["id"]) for completion in task["completions"]),
    }


PAGE = Page("ranking", "rank", "ranking", said_in, next_prompt, submit_ranking, submit_held, save_draft, filled)
