"""Addresses that people typed in, as this studio's settings allow them."""

import httpx
from django.conf import settings

from training import pinned
from training.pinned import RefusedAddress

__all__ = ["RefusedAddress", "check_url", "pinned_transport"]


def check_url(url: str) -> str:
    """Return `url` without its trailing slash when it is one we may ask. Raises RefusedAddress."""
    return pinned.check_url(url, settings.PRIVATE_ENDPOINTS)


def pinned_transport() -> httpx.AsyncHTTPTransport:
    return pinned.async_transport(settings.PRIVATE_ENDPOINTS)
