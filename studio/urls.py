"""Every address of the studio."""

from django.contrib import admin
from django.urls import include, path

from studio import account, home

urlpatterns = [
    path("", home.home, name="home"),
    path("health", home.health, name="health"),
    path("account/", account.account, name="account"),
    path("accounts/", include("allauth.account.urls")),
    path("admin/", admin.site.urls),
    path("", include("annotation.urls")),
    path("", include("training.urls")),
]
