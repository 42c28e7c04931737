"""Datasets: the list, freezing, one dataset with its report."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


def datasets(request: HttpRequest, **where) -> HttpResponse:
    return render(request, "base.html")


def dataset_new(request: HttpRequest, **where) -> HttpResponse:
    return render(request, "base.html")


def dataset(request: HttpRequest, **where) -> HttpResponse:
    return render(request, "base.html")
