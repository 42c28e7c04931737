"""Talking to addresses that people typed in, without letting them reach into this network."""

import ipaddress
import socket
from urllib.parse import urlsplit

import httpcore
import httpx
from django.conf import settings


class RefusedAddress(ValueError):
    """The address is not one we connect to; the message says why and what to do."""


def addresses(host: str, port: int) -> list[str]:
    """The public IP addresses of `host`; private ones are refused unless STUDIO_PRIVATE_ENDPOINTS=1."""
    try:
        found = list(dict.fromkeys(info[4][0] for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))
    except OSError as error:
        raise RefusedAddress(f"The host {host} cannot be found ({error}). Check its spelling.") from error
    private = [ip for ip in found if not ipaddress.ip_address(ip.split("%")[0]).is_global]
    if private and not settings.PRIVATE_ENDPOINTS:
        raise RefusedAddress(
            f"{host} is a private address ({private[0]}). If that server is yours, start the studio with "
            "STUDIO_PRIVATE_ENDPOINTS=1."
        )
    return found


def check_url(url: str) -> str:
    """Return `url` without its trailing slash when it is one we may ask. Raises RefusedAddress."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise RefusedAddress(f"{url!r} is not an http(s) address.")
    if parts.username or parts.password:
        raise RefusedAddress("Put the key into an environment variable, not into the address.")
    addresses(parts.hostname, parts.port or (443 if parts.scheme == "https" else 80))
    return url.rstrip("/")


class PinnedBackend(httpcore.AsyncNetworkBackend):
    """Connects to the address that was checked: a name that resolves anew in between gains nothing."""

    def __init__(self):
        self.inner = httpcore.AnyIOBackend()

    async def connect_tcp(self, host, port, timeout=None, local_address=None, socket_options=None):
        address = addresses(host, port)[0]
        return await self.inner.connect_tcp(address, port, timeout, local_address, socket_options)

    async def sleep(self, seconds):
        await self.inner.sleep(seconds)


def pinned_transport() -> httpx.AsyncHTTPTransport:
    transport = httpx.AsyncHTTPTransport()
    transport._pool = httpcore.AsyncConnectionPool(
        ssl_context=httpx.create_ssl_context(), network_backend=PinnedBackend()
    )
    return transport
