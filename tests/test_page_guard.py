"""Requests that the page's server accepts: of its own pages or of none, under this machine's names."""

from __future__ import annotations

import asyncio

import pytest

from styletransfer.page import guard
from styletransfer.page.guard import Guard, is_ours


@pytest.mark.parametrize(
    ("host", "origin", "ours"),
    [
        ("127.0.0.1:7860", None, True),
        ("127.0.0.1:7860", "http://127.0.0.1:7860", True),
        ("localhost:7860", "http://localhost:7860", True),
        ("[::1]:7860", "http://[::1]:7860", True),
        ("192.168.1.4:80", None, True),
        ("studio.local:7860", "http://studio.local:7860", True),
        ("127.0.0.1:7860", "http://127.0.0.1:9999", False),
        ("127.0.0.1:7860", "http://localhost:7860", False),
        ("127.0.0.1:7860", "https://elsewhere.example", False),
        ("127.0.0.1:7860", "null", False),
        ("elsewhere.example:7860", None, False),
        ("elsewhere.example", "http://elsewhere.example", False),
        ("127.0.0.1.elsewhere.example", None, False),
        ("localhost.elsewhere.example", None, False),
        ("[::1", None, False),
        ("", None, False),
    ],
)
def test_requests_of_other_sites_are_not_ours(host, origin, ours):
    assert is_ours(host, origin, {"studio.local"}) is ours


class Behind:
    """The application behind a guard: answers every request, and notes what kinds of them it got."""

    def __init__(self):
        self.got = []

    async def __call__(self, scope, receive, send):
        self.got.append(scope["type"])
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/html")]})
            await send({"type": "http.response.body", "body": b"the page"})


def asked(kind="http", **headers):
    """Return what a guarded application sends, and what it got."""
    behind, sent = Behind(), []

    async def send(message):
        sent.append(message)

    async def receive():
        raise AssertionError("the request has no body")

    scope = {"type": kind, "headers": [(name.encode(), value.encode()) for name, value in headers.items()]}
    asyncio.run(Guard(behind)(scope, receive, send))
    return sent, behind.got


def test_the_page_is_told_to_load_nothing_from_elsewhere():
    (head, body), got = asked(host="127.0.0.1:7860")
    assert (head["status"], body["body"], got) == (200, b"the page", ["http"])
    headers = dict(head["headers"])
    assert headers[b"content-type"] == b"text/html"
    assert headers[b"content-security-policy"] == guard.POLICY.encode()
    sources = {rule.split()[0]: rule.split()[1:] for rule in guard.POLICY.split(";")}
    assert sources["default-src"] == sources["connect-src"] == ["'self'"]
    assert not any("http" in source or source == "*" for each in sources.values() for source in each)


@pytest.mark.parametrize(
    "headers",
    [{"host": "elsewhere.example"}, {"host": "127.0.0.1", "origin": "http://elsewhere.example"}, {}],
    ids=["host", "origin", "none"],
)
def test_what_is_refused_does_not_reach_the_page(headers):
    (head, body), got = asked(**headers)
    assert (head["status"], got) == (403, [])
    assert body["body"].count(b"\n") == 1


def test_web_sockets_are_not_taken_and_the_start_of_the_server_is_told():
    assert asked("websocket", host="127.0.0.1") == ([], [])
    assert asked("lifespan") == ([], ["lifespan"])
