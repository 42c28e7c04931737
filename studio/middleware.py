"""What happens to every request: a strict content policy, no page without a login, a reason when a file is gone."""

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.contrib.auth.views import redirect_to_login
from django.http import JsonResponse
from django.shortcuts import render
from django.utils.decorators import sync_and_async_middleware

from annotation.store import NotInStore

POLICY = (
    "default-src 'self'; img-src 'self' data:; style-src 'self'; script-src 'self'; font-src 'self' data:; "
    "connect-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
OPEN = ("/accounts/", "/static/", "/health", "/api/", "/v1/")  # the last two answer to bearer tokens themselves


@sync_and_async_middleware
def content_security_policy(get_response):
    """Send the policy that keeps imported text from ever running as script."""

    def add(response):
        response.headers.setdefault("Content-Security-Policy", POLICY)
        return response

    if iscoroutinefunction(get_response):

        async def middleware(request):
            return add(await get_response(request))

        return middleware
    return lambda request: add(get_response(request))


@sync_and_async_middleware
def login_required(get_response):
    """Ask for a login on every path that is not open; a fragment's request is told to reload the page."""

    def refusal(request):
        if request.headers.get("HX-Request"):
            return JsonResponse({"detail": "Please log in again."}, status=401, headers={"HX-Refresh": "true"})
        return redirect_to_login(request.get_full_path())

    if iscoroutinefunction(get_response):

        async def middleware(request):
            if request.path.startswith(OPEN) or (await request.auser()).is_authenticated:
                return await get_response(request)
            return refusal(request)

        return middleware

    def sync_middleware(request):
        if request.path.startswith(OPEN) or request.user.is_authenticated:
            return get_response(request)
        return refusal(request)

    return sync_middleware


class MissingArtifact:
    """Say which file is gone, and what to do, where a page needs one that the artifact store no longer has."""

    sync_capable = async_capable = True

    def __init__(self, get_response):
        self.get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request):
        return self.get_response(request)

    def process_exception(self, request, exception):
        if isinstance(exception, NotInStore):
            return render(request, "studio/gone.html", {"exception": exception}, status=404)
        return None
