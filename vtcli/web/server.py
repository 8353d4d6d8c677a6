"""The page's routes: what may be uploaded, what is answered, and what a browser may load."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request as WebRequest
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import vtcli
from vtcli import TryOn, VtcliError
from vtcli.web.service import Busy, Event, Request, Service

STATIC = Path(__file__).parent / "static"
SAMPLES = Path(vtcli.__file__).parents[1] / "sample_data"
MOST_BYTES = 128 * 2**20
"""Bytes of a request at most."""
MOST_FILE = 40 * 2**20
"""Bytes of one file at most."""
MOST_CLOTHS = 12
HEADERS = {
    # Nothing but this server's own files: no font, script, picture or call from or to elsewhere.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; media-src 'self' blob:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
KINDS = {".png": "image/png", ".jpg": "image/jpeg"}


class _InMemory(MultiPartParser):
    """Uploads stay in memory: not even a temporary file is written."""

    spool_max_size = MOST_BYTES


class _Guard:
    """Headers on every answer; calls that another site's page makes are refused."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message.get("headers", []),
                    *((name.lower().encode(), value.encode()) for name, value in HEADERS.items()),
                ]
            await send(message)

        request = WebRequest(scope)
        origin = request.headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
            await _problem(403, "a page of another site may not call this one")(
                scope, receive, send_with_headers
            )
            return
        await self.app(scope, receive, send_with_headers)


def create_app(engine: TryOn, host: str = "127.0.0.1") -> Starlette:
    """The page and its API for one `engine`. On a loopback `host`, requests by another name are refused."""
    service = Service(engine)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        service.close()

    middleware = [Middleware(_Guard)]
    if is_local(host):
        names = ["127.0.0.1", "localhost", "[::1]", "::1", host]
        middleware.append(Middleware(TrustedHostMiddleware, allowed_hosts=names))
    app = Starlette(
        routes=[
            Route("/", _page),
            Route("/api/examples", _examples),
            Route("/api/people", _people, methods=["POST"]),
            Route("/api/tryon", _tryon, methods=["POST"]),
            Route("/api/results/{key}/{name}", _file),
            Route("/api/forget", _forget, methods=["POST"]),
            Route("/examples/{folder:path}/{name}", _example),
            Mount("/static", StaticFiles(directory=STATIC)),
        ],
        middleware=middleware,
        lifespan=lifespan,
        exception_handlers={HTTPException: _http_problem},
    )
    app.state.service = service
    return app


def is_local(host: str) -> bool:
    """Whether only this machine reaches `host`."""
    return host == "localhost" or host == "::1" or host.startswith("127.")


def example_files() -> dict[str, list[str]]:
    """Paths below `sample_data` of people and garments to begin with; empty where vtcli runs outside of a clone."""
    people, cloths = SAMPLES / "test" / "image", SAMPLES / "test" / "cloth"
    found = {
        "people": [SAMPLES / "person.jpg", *sorted(people.glob("*.jpg"))[:5]],
        "cloths": [SAMPLES / "cloth.jpg", *sorted(cloths.glob("*.jpg"))[:7]],
    }
    return {
        kind: [p.relative_to(SAMPLES).as_posix() for p in files if p.is_file()]
        for kind, files in found.items()
    }


async def _page(_request: WebRequest) -> Response:
    return FileResponse(STATIC / "index.html")


async def _examples(_request: WebRequest) -> Response:
    return JSONResponse(example_files())


async def _example(request: WebRequest) -> Response:
    name = f"{request.path_params['folder']}/{request.path_params['name']}".removeprefix("./")
    name = name.removeprefix("sample_data/")
    if not any(name in files for files in example_files().values()):
        return _problem(404, "no such example")
    return FileResponse(SAMPLES / name)


async def _people(request: WebRequest) -> Response:
    form = await _form(request)
    person = await _bytes(form, "person")
    if person is None:
        return _problem(400, "the person's photo is missing (field person)")
    try:
        found = await asyncio.wrap_future(request.app.state.service.people(person))
    except VtcliError as problem:
        return _problem(422, str(problem))
    return JSONResponse(found)


async def _tryon(request: WebRequest) -> Response:
    form = await _form(request)
    asked = await _asked(form)
    loop, events = asyncio.get_running_loop(), asyncio.Queue[Event]()
    service: Service = request.app.state.service
    try:
        future = service.submit(asked, lambda event: _quietly(loop, events, event))
    except Busy as problem:
        return _problem(503, str(problem))

    async def lines() -> AsyncIterator[str]:
        try:
            while (event := await events.get())["event"] != "done":
                yield json.dumps(event) + "\n"
            yield '{"event": "done"}\n'
        finally:
            future.cancel()  # who has gone does not keep others waiting

    return StreamingResponse(lines(), media_type="application/x-ndjson")


async def _file(request: WebRequest) -> Response:
    name = request.path_params["name"]
    data = request.app.state.service.results.get(request.path_params["key"], name)
    if data is None:
        return _problem(404, "this result is no longer held; try on again")
    return Response(data, media_type=KINDS[Path(name).suffix])


async def _forget(request: WebRequest) -> Response:
    keys = (await request.body())[:10_000].decode("ascii", "ignore").split()
    request.app.state.service.results.forget(keys)
    return Response(status_code=204)


async def _form(request: WebRequest) -> FormData:
    """The request's fields; HTTPException where it is too large, or no form."""
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > MOST_BYTES:
        raise HTTPException(413, f"too large; at most {MOST_BYTES // 2**20} MB")
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise HTTPException(415, "expected a form (multipart/form-data)")

    async def counted() -> AsyncIterator[bytes]:
        total = 0
        async for chunk in request.stream():
            total += len(chunk)
            if total > MOST_BYTES:
                raise HTTPException(413, f"too large; at most {MOST_BYTES // 2**20} MB")
            yield chunk

    try:
        return await _InMemory(request.headers, counted(), max_files=MOST_CLOTHS + 4, max_fields=20).parse()  # type: ignore[arg-type]
    except MultiPartException as problem:
        raise HTTPException(400, f"not a form that can be read ({problem.message})") from problem


async def _asked(form: FormData) -> Request:
    person = await _bytes(form, "person")
    cloths = [await _content(x, "cloth") for x in form.getlist("cloth") if isinstance(x, UploadFile)]
    if person is None or not cloths:
        missing = (
            "the person's photo (field person)" if person is None else "the garment's photo (field cloth)"
        )
        raise HTTPException(400, f"{missing} is missing")
    if len(cloths) > MOST_CLOTHS:
        raise HTTPException(400, f"{len(cloths)} garments; at most {MOST_CLOTHS} at a time")
    keep, number = str(form.get("keep", "outside")), str(form.get("number", "1"))
    if keep not in ("outside", "head"):
        raise HTTPException(400, "keep is one of outside, head")
    if not number.isdecimal() or not 1 <= int(number) <= 1000:
        raise HTTPException(400, "number is a whole number, 1 for the largest person")
    masks = {name: await _bytes(form, name) for name in ("cloth_mask", "protect", "redraw")}
    force = str(form.get("force", "")).lower() in ("1", "true", "on", "yes")
    return Request(person, cloths, "head" if keep == "head" else "outside", force, int(number), **masks)


async def _bytes(form: FormData, name: str) -> bytes | None:
    value = form.get(name)
    return await _content(value, name) if isinstance(value, UploadFile) else None


async def _content(file: UploadFile, name: str) -> bytes:
    data = await file.read(MOST_FILE + 1)
    await file.close()
    if len(data) > MOST_FILE:
        raise HTTPException(413, f"{name}: the file is too large; at most {MOST_FILE // 2**20} MB")
    return data


def _quietly(loop: asyncio.AbstractEventLoop, events: asyncio.Queue[Event], event: Event) -> None:
    if not loop.is_closed():  # the server may be ending
        loop.call_soon_threadsafe(events.put_nowait, event)


def _problem(status: int, message: str) -> Response:
    return JSONResponse({"message": message}, status)


async def _http_problem(_request: WebRequest, problem: Any) -> Response:
    return _problem(problem.status_code, str(problem.detail))
