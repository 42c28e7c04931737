"""Connect to addresses people typed in without letting them reach into this network: checked, then pinned. Pure."""

import ipaddress
import socket
import ssl
from functools import cache
from urllib.parse import urlsplit

import httpcore
import httpx

ALLOW = "If that server is yours, start the studio with STUDIO_PRIVATE_ENDPOINTS=1."


class RefusedAddress(ValueError):
    """The address is not one we connect to; the message says why and what to do."""


def addresses(host: str, port: int, private: bool = False) -> list[str]:
    """The IP addresses of `host`; private ones are refused unless they are allowed."""
    try:
        found = list(dict.fromkeys(info[4][0] for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))
    except OSError as error:
        raise RefusedAddress(f"The host {host} cannot be found ({error}). Check its spelling.") from error
    hidden = [ip for ip in found if not ipaddress.ip_address(ip.split("%")[0]).is_global]
    if hidden and not private:
        raise RefusedAddress(f"{host} is a private address ({hidden[0]}). {ALLOW}")
    return found


def check_url(url: str, private: bool = False) -> str:
    """Return `url` without its trailing slash when it is one we may ask. Raises RefusedAddress."""
    parts = split(url)
    addresses(parts.hostname, parts.port or (443 if parts.scheme == "https" else 80), private)
    return url.rstrip("/")


def split(url: str):
    """An http(s) address in its parts, without asking anybody. Raises RefusedAddress."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 – it is read when asked for, and may be none
    except ValueError as error:
        raise RefusedAddress(f"{url!r} is not an http(s) address ({error}).") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise RefusedAddress(f"{url!r} is not an http(s) address.")
    if parts.username or parts.password:
        raise RefusedAddress("Put the key into an environment variable, not into the address.")
    return parts


class PinnedAsync(httpcore.AsyncNetworkBackend):
    """Connects to the address that was checked: a name that resolves anew in between gains nothing."""

    def __init__(self, private: bool):
        self.inner, self.private = httpcore.AnyIOBackend(), private

    async def connect_tcp(self, host, port, timeout=None, local_address=None, socket_options=None):
        address = addresses(host, port, self.private)[0]
        return await self.inner.connect_tcp(address, port, timeout, local_address, socket_options)

    async def sleep(self, seconds):
        await self.inner.sleep(seconds)


class Pinned(httpcore.NetworkBackend):
    """The same, waiting."""

    def __init__(self, private: bool):
        self.inner, self.private = httpcore.SyncBackend(), private

    def connect_tcp(self, host, port, timeout=None, local_address=None, socket_options=None):
        address = addresses(host, port, self.private)[0]
        return self.inner.connect_tcp(address, port, timeout, local_address, socket_options)

    def sleep(self, seconds):
        self.inner.sleep(seconds)


@cache
def trust() -> ssl.SSLContext:
    """Whose certificates count. Reading them takes 20 ms, more than many a request."""
    return httpx.create_ssl_context()


def async_transport(private: bool = False) -> httpx.AsyncHTTPTransport:
    transport = httpx.AsyncHTTPTransport(verify=trust())
    pool = httpcore.AsyncConnectionPool(ssl_context=trust(), network_backend=PinnedAsync(private))
    transport._pool = pool
    return transport


def transport(private: bool = False) -> httpx.HTTPTransport:
    made = httpx.HTTPTransport(verify=trust())
    made._pool = httpcore.ConnectionPool(ssl_context=trust(), network_backend=Pinned(private))
    return made
