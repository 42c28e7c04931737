"""One trace with what every source says of its steps, and moving its cuts while nobody has labeled it."""

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render

from annotation.access import project_or_404
from annotation.models import SPLITS, Project, Prompt
from annotation.steps.columns import columns_of, rows_of
from annotation.steps.cutting import Uncut, mark_for, recut, steps_in, why_not
from annotation.steps.splitting import split

SIBLINGS = 20


def shown(request: HttpRequest, project: Project, prompt: Prompt) -> HttpResponse:
    """The page of a prompt of a project of kind `steps`; labelers see nobody's labels but their own."""
    reviews = project.role != "labeler"
    labels = prompt.step_labels.select_related("labeler").order_by("pk")
    columns = columns_of(labels if reviews else labels.filter(labeler=request.user))
    answer = prompt.completions.filter(steps__isnull=False).first()
    context = {
        "place": "label",
        "project": project,
        "prompt": prompt,
        "reviews": reviews,
        "completion": answer,
        "rows": rows_of(answer, columns) if answer else [],
        "columns": columns,
        "siblings": siblings(prompt),
        "skips": prompt.skips.select_related("labeler") if reviews else [],
        "may_cut": reviews and answer and not why_not(prompt),
    }
    return render(request, "annotation/prompt_trace.html", context)


def siblings(prompt: Prompt) -> list[int]:
    """Other solutions of the same problem."""
    if not prompt.problem:
        return []
    same = Prompt.objects.filter(project=prompt.project_id, problem=prompt.problem).exclude(pk=prompt.pk)
    return list(same.order_by("pk").values_list("pk", flat=True)[:SIBLINGS])


def cut(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """A form with the whole solution, a line of dashes between its steps; a rule can lay it out anew."""
    project = project_or_404(request.user, slug, "reviewer")
    prompt = get_object_or_404(project.prompts, pk=pk)
    answer = prompt.completions.filter(steps__isnull=False).first()
    if not answer:
        raise Http404("There is no solution to cut.")
    mark, trouble = mark_for("\n".join(answer.steps)), why_not(prompt)
    rule = request.GET.get("rule", "")
    steps = split(answer.text, rule) if rule in SPLITS else answer.steps
    if request.method == "POST":
        steps = steps_in(request.POST.get("steps", ""), mark)
        try:
            recut(prompt, steps)
            messages.success(request, f"The solution has {len(steps)} steps now.")
            return redirect("prompt", slug, pk)
        except Uncut as error:
            trouble = str(error)
    context = {"place": "label", "project": project, "prompt": prompt, "rules": SPLITS, "rule": rule, "mark": mark}
    context |= {"text": f"\n{mark}\n".join(steps), "count": len(steps), "trouble": trouble}
    status = 422 if request.method == "POST" else 200
    return render(request, "annotation/cut.html", context, status=status)
