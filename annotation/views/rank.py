"""The ranking page."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


def rank(request: HttpRequest, **where) -> HttpResponse:
    return render(request, "base.html")
