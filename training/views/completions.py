"""Have a model answer a project's prompts."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


def complete(request: HttpRequest, **where) -> HttpResponse:
    return render(request, "base.html")
