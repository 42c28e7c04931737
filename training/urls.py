"""Addresses of training, models and comparison."""

from django.urls import path

from training.views import alternatives, compare, completions, curves, jobs, launch, models, step_scores

urlpatterns = [
    path("projects/<slug:slug>/complete/", completions.complete, name="complete"),
    path("projects/<slug:slug>/complete/<int:pk>/cancel/", completions.complete_cancel, name="complete_cancel"),
    path("projects/<slug:slug>/alternatives/", alternatives.alternatives, name="alternatives"),
    path("train/", jobs.jobs, name="jobs"),
    path("train/new/", launch.job_new, name="job_new"),
    path("train/overlay/", curves.job_overlay, name="job_overlay"),
    path("train/<int:pk>/", jobs.job, name="job"),
    path("train/<int:pk>/metrics/", curves.job_metrics, name="job_metrics"),
    path("train/<int:pk>/metrics.csv", curves.job_csv, name="job_csv"),
    path("train/<int:pk>/files/<path:path>", jobs.job_file, name="job_file"),
    path("train/<int:pk>/cancel/", jobs.job_cancel, name="job_cancel"),
    path("train/<int:pk>/resume/", jobs.job_resume, name="job_resume"),
    path("models/", models.models, name="models"),
    path("models/new/", models.model_new, name="model_new"),
    path("models/<slug:slug>/", models.model, name="model"),
    path("models/<slug:slug>/steps/", step_scores.model_steps, name="model_steps"),
    path("models/<slug:slug>/download/", models.model_download, name="model_download"),
    path("models/<slug:slug>/files/<path:path>", models.model_file, name="model_file"),
    path("compare/", compare.compare, name="compare"),
    path("compare/<int:pk>/", compare.comparison, name="comparison"),
    path("compare/<int:pk>/answers/<int:column>/", compare.comparison_answer, name="comparison_answer"),
    path("compare/<int:pk>/run/", compare.comparison_run, name="comparison_run"),
    path("compare/<int:pk>/vote/", compare.comparison_vote, name="comparison_vote"),
    path("compare/<int:pk>/take-back/", compare.comparison_take_back, name="comparison_take_back"),
    path("compare/<int:pk>/next/", compare.comparison_next, name="comparison_next"),
    path("compare/<int:pk>/retry/", compare.comparison_retry, name="comparison_retry"),
]
