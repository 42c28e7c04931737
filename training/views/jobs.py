"""Trainings: the list, the launch form, the run page."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


def jobs(request: HttpRequest, **where) -> HttpResponse:
    return render(request, "base.html")


def job_new(request: HttpRequest, **where) -> HttpResponse:
    return render(request, "base.html")


def job(request: HttpRequest, **where) -> HttpResponse:
    return render(request, "base.html")
