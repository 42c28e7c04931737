"""Who may come in: accounts are made by an admin, never by a visitor."""

from allauth.account.adapter import DefaultAccountAdapter


class ClosedSignup(DefaultAccountAdapter):
    """Refuse every sign-up; `studio createsuperuser` and the admin make accounts."""

    def is_open_for_signup(self, request) -> bool:
        return False
