"""The model registry: list, registration, one version with its lineage."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


def models(request: HttpRequest, **where) -> HttpResponse:
    return render(request, "base.html")


def model_new(request: HttpRequest, **where) -> HttpResponse:
    return render(request, "base.html")


def model(request: HttpRequest, **where) -> HttpResponse:
    return render(request, "base.html")
