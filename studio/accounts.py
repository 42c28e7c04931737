"""Who may come in: accounts are made by an admin, never by a visitor."""

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.auth_backends import AuthenticationBackend
from django.contrib.auth import get_user_model

from annotation.rows import one


class ClosedSignup(DefaultAccountAdapter):
    """Refuse every sign-up; `studio createsuperuser` and the admin make accounts."""

    def is_open_for_signup(self, request) -> bool:
        return False


class Backend(AuthenticationBackend):
    """Who a request comes from, by one plain statement."""

    def get_user(self, user_id):
        user = one(get_user_model(), "id = %s", [user_id])
        return user if user and self.user_can_authenticate(user) else None
