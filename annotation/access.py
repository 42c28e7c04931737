"""Who may see what: outsiders get 404, members without the role get 403 with a sentence."""

from django.core.exceptions import PermissionDenied
from django.http import Http404

from annotation.models import Project
from annotation.rows import one

RANK = {"labeler": 1, "reviewer": 2, "manager": 3}
MEMBER = "EXISTS (SELECT 1 FROM annotation_membership m WHERE m.project_id = annotation_project.id AND m.user_id = %s)"


def visible_project(user, slug: str) -> Project:
    """The project if `user` is a member of it or a superuser, else 404: `visible_to`, as one plain statement."""
    slug = slug.replace("\0", "")
    project = one(Project, f"slug = %s AND (%s OR {MEMBER})", [slug, user.is_superuser, user.pk])
    if project is None:
        raise Http404
    return project


def project_or_404(user, slug: str, role: str = "labeler") -> Project:
    """The project when `user` holds at least `role` on it; `project.role` is what she holds."""
    project = visible_project(user, slug)
    project.role = project.role_of(user)
    if RANK[project.role] < RANK[role]:
        raise PermissionDenied(f"This needs the role of {role} on {project}; yours is {project.role}.")
    return project
