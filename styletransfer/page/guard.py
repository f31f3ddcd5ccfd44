"""The guard of the page's server: it refuses requests of other sites, and the page may load nothing from them."""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any
from urllib.parse import urlsplit

_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]
_App = Callable[[_Message, _Receive, _Send], Awaitable[None]]

# Gradio's pages have scripts and styles inline, and its plots compile expressions.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; "
    "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)


class Guard:
    """An ASGI application in front of another.

    A page of another site that is open in the same browser could otherwise send requests to the server on this
    machine, under its own name (cross-site requests) or under one that it has pointed here (DNS rebinding).

    Parameters
    ----------
    app : ASGI application
    names : collection of str
        Names of this machine under which it may be addressed, besides addresses and ``localhost``.
    """

    def __init__(self, app: _App, names: Collection[str] = ()) -> None:
        self._app, self._names = app, names

    async def __call__(self, scope: _Message, receive: _Receive, send: _Send) -> None:
        if scope["type"] == "websocket":
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        if not is_ours(headers.get(b"host", ""), headers.get(b"origin"), self._names):
            await send({"type": "http.response.start", "status": 403, "headers": [(b"content-type", b"text/plain")]})
            await send({"type": "http.response.body", "body": b"requests of other sites are refused\n"})
            return

        async def send_with_headers(message: _Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *_HEADERS]}
            await send(message)

        await self._app(scope, receive, send_with_headers)


def is_ours(host: str, origin: str | None, names: Collection[str] = ()) -> bool:
    """Return whether a request comes from a page of this server, or from no page.

    Parameters
    ----------
    host : str
        The header `Host`: the name under which the server was addressed.
    origin : str, or None
        The header `Origin`: where the page comes from that sends the request.
    names : collection of str
        Those of this machine. Others, which anybody may point here, are refused.
    """
    try:
        name = urlsplit(f"//{host}").hostname or ""
        if name != "localhost" and name not in names:
            ipaddress.ip_address(name)
        return origin is None or urlsplit(origin).netloc == host
    except ValueError:
        return False
