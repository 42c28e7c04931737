"""The OpenAI-compatible route /v1: any OpenAI client talks to the studio's models with a token as its key."""

import json
from collections.abc import AsyncIterator

import httpx
from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.views.decorators.csrf import csrf_exempt

from studio.models import ApiToken
from training.models import ModelVersion
from training.serving import reason, target


def failure(status: int, message: str, code: str) -> JsonResponse:
    """An error in OpenAI's shape, so that its clients raise the exception they should."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    body = {"error": {"message": message, "type": kind, "param": None, "code": code}}
    return JsonResponse(body, status=status)


def bearer(request: HttpRequest):
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return ApiToken.user_of(token.strip()) if scheme.lower() == "bearer" else None


def visible(request: HttpRequest):
    """The models this request's token may ask, or None where the token is none."""
    user = bearer(request)
    return ModelVersion.objects.visible_to(user).usable().order_by("name", "version") if user else None


NO_TOKEN = (401, "Send a token from your account page as the API key.", "invalid_api_key")


def models(request: HttpRequest) -> JsonResponse:
    found = visible(request)
    if found is None:
        return failure(*NO_TOKEN)
    data = [
        {"id": m.slug, "object": "model", "created": int(m.created.timestamp()), "owned_by": "studio", "makes": m.makes}
        for m in found
    ]
    return JsonResponse({"object": "list", "data": data})


def asked(request: HttpRequest) -> tuple[ModelVersion, dict] | JsonResponse:
    """The model and the body of a request, or the refusal."""
    found = visible(request)
    if found is None:
        return failure(*NO_TOKEN)
    try:
        body = json.loads(request.body)
        name = body["model"]
    except (ValueError, KeyError, TypeError):
        return failure(400, "The body must be a JSON object that names a model.", "invalid_body")
    if model := found.filter(slug=str(name)).first():
        return model, body
    there = ", ".join(found.values_list("slug", flat=True)[:10]) or "none yet"
    return failure(404, f"There is no model {name!r} for you here. There is: {there}.", "model_not_found")


async def forward(request: HttpRequest, route: str) -> HttpResponse:
    """Pass a request on to where the model lives, and its answer back: streamed when that is asked for."""
    found = await sync_to_async(asked)(request)
    if isinstance(found, HttpResponse):
        return found
    model, body = found
    there = target(model)
    client = there.client()
    outgoing = client.build_request("POST", f"{there.url}/{route}", json=body | {"model": there.model})
    try:
        answer = await client.send(outgoing, stream=True)
        if answer.is_success and body.get("stream"):
            return StreamingHttpResponse(passed_on(answer, client), content_type=answer.headers["content-type"])
        content = await answer.aread()
    except (httpx.HTTPError, ValueError) as error:
        await client.aclose()
        return failure(503, f"The server of {model} does not answer: {error or type(error).__name__}.", "unreachable")
    await client.aclose()
    if answer.is_error:
        return failure(answer.status_code, reason(answer), "model_server")
    return HttpResponse(content, content_type=answer.headers.get("content-type"))


async def passed_on(answer: httpx.Response, client: httpx.AsyncClient) -> AsyncIterator[bytes]:
    try:
        async for piece in answer.aiter_bytes():
            yield piece
    finally:  # a caller who hangs up ends the generation too
        await answer.aclose()
        await client.aclose()


@csrf_exempt
async def chat_completions(request: HttpRequest) -> HttpResponse:
    return await forward(request, "chat/completions")


@csrf_exempt
async def score_steps(request: HttpRequest) -> HttpResponse:
    return await forward(request, "score_steps")


@csrf_exempt
async def score(request: HttpRequest) -> HttpResponse:
    return await forward(request, "score")
