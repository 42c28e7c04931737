"""Addresses of training, models and comparison."""

from django.urls import path

from training.views import compare, completions, jobs, models

urlpatterns = [
    path("projects/<slug:slug>/complete/", completions.complete, name="complete"),
    path("train/", jobs.jobs, name="jobs"),
    path("train/new/", jobs.job_new, name="job_new"),
    path("train/<int:pk>/", jobs.job, name="job"),
    path("models/", models.models, name="models"),
    path("models/new/", models.model_new, name="model_new"),
    path("models/<slug:slug>/", models.model, name="model"),
    path("compare/", compare.compare, name="compare"),
    path("compare/<int:pk>/", compare.comparison, name="comparison"),
]
