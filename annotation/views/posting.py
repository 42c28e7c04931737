"""What the labeling pages have in common: which prompt a form is about; JSON for scripts, the page for plain forms."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect

from annotation.models import Prompt
from annotation.ranks import Invalid

NOTHING = {"detail": "Nothing to undo: the last ten decisions can be opened again."}


def posted_prompt(request: HttpRequest, slug: str, kind: str) -> Prompt:
    """The prompt the form is about, with its project, if that is of this kind and the user a member of it."""
    prompts = Prompt.objects.visible_to(request.user).select_related("project")
    pk = number(request.POST.get("prompt", ""))
    return get_object_or_404(prompts, pk=pk, project__slug=slug, project__kind=kind)


def number(text: str) -> int:
    """The id somebody sent; 0 for what cannot be one."""
    return int(text) if text.isdecimal() and len(text) < 19 else 0


def besides(request: HttpRequest) -> list[int]:
    """Prompts the page holds already."""
    return [pk for text in request.GET.getlist("besides")[:20] if (pk := number(text))]


def wants_json(request: HttpRequest) -> bool:
    return request.headers.get("Accept") == "application/json"


def answer(request: HttpRequest, page: str, slug: str, data: dict, status: int = 200) -> HttpResponse:
    """JSON for the page's script; for a plain form the page itself, with the message on it."""
    if wants_json(request):
        return JsonResponse(data, status=status)
    if status >= 400:
        messages.error(request, data["detail"])
    return redirect(page, slug)


def refusal(invalid: Invalid) -> JsonResponse:
    return JsonResponse({"detail": str(invalid), "errors": invalid.errors}, status=422)
