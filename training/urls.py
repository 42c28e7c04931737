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
    path("compare/<int:pk>/answers/<int:column>/", compare.comparison_answer, name="comparison_answer"),
    path("compare/<int:pk>/run/", compare.comparison_run, name="comparison_run"),
    path("compare/<int:pk>/vote/", compare.comparison_vote, name="comparison_vote"),
    path("compare/<int:pk>/take-back/", compare.comparison_take_back, name="comparison_take_back"),
    path("compare/<int:pk>/next/", compare.comparison_next, name="comparison_next"),
    path("compare/<int:pk>/retry/", compare.comparison_retry, name="comparison_retry"),
]
