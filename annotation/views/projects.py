"""Projects: the list, one project's page, its settings and people."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


def projects(request: HttpRequest, **where) -> HttpResponse:
    return render(request, "base.html")


def project_new(request: HttpRequest, **where) -> HttpResponse:
    return render(request, "base.html")


def project(request: HttpRequest, **where) -> HttpResponse:
    return render(request, "base.html")


def project_settings(request: HttpRequest, **where) -> HttpResponse:
    return render(request, "base.html")


def project_people(request: HttpRequest, **where) -> HttpResponse:
    return render(request, "base.html")
