"""Addresses of labeling and datasets."""

from django.urls import path

from annotation.views import datasets, exports, imports, people, projects, prompts, rank, steps, traces

urlpatterns = [
    path("projects/", projects.projects, name="projects"),
    path("projects/new/", projects.project_new, name="project_new"),
    path("projects/<slug:slug>/", projects.project, name="project"),
    path("projects/<slug:slug>/settings/", projects.project_settings, name="project_settings"),
    path("projects/<slug:slug>/people/", people.project_people, name="project_people"),
    path("projects/<slug:slug>/import/", imports.import_new, name="import_new"),
    path("projects/<slug:slug>/import/preview/", imports.import_preview, name="import_preview"),
    path("projects/<slug:slug>/imports/<int:pk>/", imports.import_page, name="import"),
    path("projects/<slug:slug>/imports/<int:pk>/problems/", imports.import_problems, name="import_problems"),
    path("projects/<slug:slug>/prompts/", prompts.prompts, name="prompts"),
    path("projects/<slug:slug>/prompts/<int:pk>/", prompts.prompt, name="prompt"),
    path("projects/<slug:slug>/prompts/<int:pk>/cut/", traces.cut, name="cut"),
    *rank.PAGE.addresses(),
    *steps.PAGE.addresses(),
    path("projects/<slug:slug>/export/", exports.export, name="export"),
    path("projects/<slug:slug>/freeze/", datasets.dataset_new, name="dataset_new"),
    path("datasets/", datasets.datasets, name="datasets"),
    path("datasets/<slug:slug>/", datasets.dataset, name="dataset"),
    path("datasets/<slug:slug>/files/<str:name>", datasets.dataset_file, name="dataset_file"),
]
