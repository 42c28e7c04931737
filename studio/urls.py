"""Every address of the studio."""

from django.contrib import admin
from django.urls import include, path

from studio import account, home, openai_api
from studio.api import api

urlpatterns = [
    path("", home.home, name="home"),
    path("health", home.health, name="health"),
    path("account/", account.account, name="account"),
    path("accounts/", include("allauth.account.urls")),
    path("admin/", admin.site.urls),
    path("api/v1/", api.urls),
    path("v1/models", openai_api.models),
    path("v1/chat/completions", openai_api.chat_completions),
    path("v1/score", openai_api.score),
    path("v1/score_steps", openai_api.score_steps),
    path("", include("annotation.urls")),
    path("", include("training.urls")),
]
