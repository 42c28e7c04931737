"""The first page: the loop itself with live counts on it, and what needs this person next."""

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render


def home(request: HttpRequest) -> HttpResponse:
    return render(request, "home.html")


def health(request: HttpRequest) -> JsonResponse:
    """For load balancers: the web process answers."""
    return JsonResponse({"status": "ok"})
