"""The project around the two apps: settings, accounts, home, API and the `studio` command."""

from studio.celery import app as celery_app

__all__ = ["celery_app"]
