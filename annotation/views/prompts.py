"""The table of prompts, and one prompt with all that was said of it."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


def prompts(request: HttpRequest, **where) -> HttpResponse:
    return render(request, "base.html")


def prompt(request: HttpRequest, **where) -> HttpResponse:
    return render(request, "base.html")
