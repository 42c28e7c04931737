"""Getting data in: upload or paste, preview, map columns, follow the import."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


def import_new(request: HttpRequest, **where) -> HttpResponse:
    return render(request, "base.html")


def import_page(request: HttpRequest, **where) -> HttpResponse:
    return render(request, "base.html")
