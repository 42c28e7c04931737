"""One prompt, several models, their answers side by side, and the vote."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


def compare(request: HttpRequest, **where) -> HttpResponse:
    return render(request, "base.html")


def comparison(request: HttpRequest, **where) -> HttpResponse:
    return render(request, "base.html")
