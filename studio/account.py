"""A person's own page: password, API tokens."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


def account(request: HttpRequest, **where) -> HttpResponse:
    return render(request, "base.html")
