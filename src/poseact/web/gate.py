"""What every request passes: the host it names, the token, how many there are, how large it is."""

from __future__ import annotations

import re
import secrets
import threading
from collections.abc import Callable, Sequence

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from poseact.web.limits import Limits, Refused

HEADERS = {
    # Threads of WebAssembly need the first two; with the third the page reaches nobody else.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self' blob:; "
        "media-src 'self' blob:; img-src 'self' blob: data:; frame-ancestors 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_GUARDED = ("/v1/", "/metrics")


class Gate:
    """Around an application; refuses with a status of 4xx and a line.

    token: that /v1 and /metrics ask for, None for nobody's. hosts: names by which the service may
    be called, empty for any; on loopback, they keep pages of other hosts out (DNS rebinding).
    noted: is told the route and the status of every answer.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        limits: Limits,
        token: str | None,
        hosts: Sequence[str],
        noted: Callable[[str, int], None],
    ) -> None:
        self._noted = noted
        self._app, self._limits, self._token, self._hosts = app, limits, token, tuple(hosts)
        self._slots = threading.BoundedSemaphore(limits.requests)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
                route = getattr(scope.get("route"), "path", "other")
                self._noted(route, message["status"])
            await send(message)

        upload = scope["method"] == "POST"
        taken = False
        try:
            self._check(scope)
            taken = upload and self._slots.acquire(blocking=False)
            if upload and not taken:
                most = self._limits.requests
                raise Refused(429, f"{most} uploads at one time is the most; try again in a second")
        except Refused as refused:
            await refusal(refused)(scope, receive, with_headers)
            return
        try:
            await self._app(scope, self._counted(receive) if upload else receive, with_headers)
        finally:
            if taken:
                self._slots.release()

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        host = re.sub(r":\d+$", "", headers.get("host", ""))
        if self._hosts and host not in self._hosts:
            raise Refused(421, f"this service is called by {', '.join(self._hosts)}")
        if self._token and scope["path"].startswith(_GUARDED):
            given = headers.get("authorization", "").removeprefix("Bearer ")
            if not secrets.compare_digest(given.encode(), self._token.encode()):
                raise Refused(401, "send the header Authorization: Bearer TOKEN")
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > self._most:
            raise self._too_large()

    @property
    def _most(self) -> int:
        return int(self._limits.megabytes * 1e6)

    def _too_large(self) -> Refused:
        return Refused(413, f"an upload may have {self._limits.megabytes:g} MB")

    def _counted(self, receive: Receive) -> Receive:
        """A body without a length, or with a wrong one, ends where it is too large."""
        count = 0

        async def counted() -> Message:
            nonlocal count
            message = await receive()
            count += len(message.get("body", b""))
            if count > self._most:
                raise HTTPException(413, self._too_large().why)
            return message

        return counted


def refusal(refused: Refused) -> JSONResponse:
    headers = {"WWW-Authenticate": "Bearer"} if refused.status == 401 else {}
    headers |= {"Retry-After": "1"} if refused.status == 429 else {}
    return JSONResponse({"error": refused.why}, refused.status, headers)
