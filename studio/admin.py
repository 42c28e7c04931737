"""Django's admin, for what has no page of its own: accounts, memberships, and a look at rows."""

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin

from annotation.models import Membership, Project
from studio.models import ApiToken, User
from training.models import ModelVersion, TrainingJob

admin.site.site_header = admin.site.site_title = "Alignment studio"
admin.site.index_title = "Accounts and rows"


@admin.register(User)
class People(UserAdmin):
    fieldsets = [*UserAdmin.fieldsets, ("About", {"fields": ["about"]})]


@admin.register(ApiToken)
class Tokens(admin.ModelAdmin):
    """Tokens are made on the account page, where the secret is shown once; here they are seen and revoked."""

    list_display = ["name", "user", "created", "last_used"]
    readonly_fields = ["user", "name", "hash", "created", "last_used"]

    def has_add_permission(self, request) -> bool:
        return False


class Members(admin.TabularInline):
    model = Membership
    extra = 0
    autocomplete_fields = ["user"]


@admin.register(Project)
class Projects(admin.ModelAdmin):
    """Labels wanted change on the project's own settings page, which keeps prompts' counters right."""

    list_display = ["name", "kind", "prompt_count", "labels_wanted", "created"]
    readonly_fields = ["labels_wanted", "prompt_count"]
    inlines = [Members]

    def has_delete_permission(self, request, obj=None) -> bool:
        return False


@admin.register(Membership)
class Memberships(admin.ModelAdmin):
    list_display = ["user", "project", "role"]
    list_filter = ["role"]
    list_select_related = ["user", "project"]
    autocomplete_fields = ["user"]


class Shown(admin.ModelAdmin):
    """To look at; their own pages change them."""

    def has_add_permission(self, request) -> bool:
        return False

    def has_change_permission(self, request, obj=None) -> bool:
        return False

    def has_delete_permission(self, request, obj=None) -> bool:
        return False


@admin.register(ModelVersion)
class Models(Shown):
    list_display = ["name", "version", "makes", "status", "created"]


@admin.register(TrainingJob)
class Jobs(Shown):
    list_display = ["name", "recipe", "status", "created_by", "created"]
    list_filter = ["status", "recipe"]
    list_select_related = ["created_by"]
