"""The door of the page: which requests get to Gradio at all.

Only the addresses that the page itself uses are answered, only under the page's own names (no other
site may lead a browser here), and a copy of a file only for whom it was made.
"""

from __future__ import annotations

import os
import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from mindlong.app.place import Place, new_secret, owner_of_browser, owner_of_user
from mindlong.app.uploads import GIVEN

COOKIE = "mindlong_owner"
YEAR = 365 * 24 * 3600
FILE = "/gradio_api/file="
OPEN = re.compile(  # what the page needs of Gradio; everything else is not there
    r"/|/config/?|/login/?|/logout|/theme\.css|/favicon\.ico|/manifest\.json|/robots\.txt|/(assets|static|svelte)/[\w./@-]+"
    r"|/gradio_api/(queue/(join|data)|upload|upload_progress|cancel|reset/?|login_check/?|user/?|app_id/?"
    r"|startup-events|theme\.css|heartbeat/\w+|file=.*)",
    re.DOTALL,
)
POLICY = (
    "default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; frame-ancestors 'none'; form-action 'self'; base-uri 'self'"
)
HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
)
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Door:
    """ASGI middleware around the whole page.

    Args:
        app: what is behind it.
        place: of the page.
        names: hosts under which the page is called, ports apart; empty: any.
        user_of: the cookies of a request -> who is logged in; None: nobody logs in here.
        limit: bytes of a request at most.
    """

    def __init__(
        self,
        app: App,
        place: Place,
        names: Sequence[str],
        user_of: Callable[[Mapping[str, str]], str | None] | None,
        limit: int,
    ) -> None:
        self.app, self.place, self.names = app, place, tuple(names)
        self.user_of, self.limit = user_of, limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        headers = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]}
        cookies = cookies_of(headers.get("cookie", ""))
        refused = self._refused(scope, headers, cookies)
        if refused:
            await _answer(send, *refused)
            return
        fresh = "" if owner_of_browser(cookies.get(COOKIE, "")) else new_secret()
        await self.app(scope, receive, _dressed(send, fresh if scope["path"] == "/" else ""))

    def _refused(
        self, scope: Scope, headers: Mapping[str, str], cookies: Mapping[str, str]
    ) -> tuple[int, str] | None:
        """(status, sentence) of a request that is not let in."""
        host = headers.get("host", "")
        if self.names and _name(host) not in self.names:
            return 421, "this page is not called by that name"
        origin = headers.get("origin", "")
        if origin and urlsplit(origin).netloc != host:
            return 403, "another site may not use this page"
        path = scope["path"]
        if not OPEN.fullmatch(path):
            return 404, "there is nothing here"
        if "transfer-encoding" in headers:
            return 411, "the length of a request has to be said"
        size = headers.get("content-length", "0")
        if not size.isdigit() or int(size) > self.limit:
            return 413, f"more than {self.limit // 2**20} MiB are not taken"
        if path.startswith(FILE) and not self.may_fetch(path[len(FILE) :], self.owner(cookies)):
            return 403, "this file is not for you"
        return None

    def owner(self, cookies: Mapping[str, str]) -> str:
        """Whose request it is; '' where nobody's."""
        if self.user_of is None:
            return owner_of_browser(cookies.get(COOKIE, ""))
        name = self.user_of(cookies)
        return owner_of_user(name) if name else ""

    def may_fetch(self, path: str, owner: str) -> bool:
        """Whether a file is a copy made for `owner`, or an upload under a name that only its
        uploader has.
        """
        plain = unquote(path)
        if not owner or path != plain or "\0" in path or not os.path.isabs(path):
            return False
        real, home = Path(os.path.realpath(path)), Path(os.path.realpath(self.place.served))
        if not real.is_relative_to(home) or str(real) != os.path.normpath(path):
            return False
        first = real.relative_to(home).parts[:1]
        return first == (owner,) or bool(first and GIVEN.fullmatch(first[0]))


def cookies_of(header: str) -> dict[str, str]:
    """The cookies of a request."""
    try:
        return {name: morsel.value for name, morsel in SimpleCookie(header).items()}
    except CookieError:
        return {}


def _name(host: str) -> str:
    """A host without its port."""
    return host.rpartition("]")[0].lstrip("[") if host.startswith("[") else host.partition(":")[0]


def _dressed(send: Send, secret: str) -> Send:
    """`send` with headers that keep other sites out, and the cookie of a new browser."""
    more = list(HEADERS)
    if secret:
        cookie = f"{COOKIE}={secret}; Path=/; Max-Age={YEAR}; HttpOnly; SameSite=Strict"
        more.append((b"set-cookie", cookie.encode()))

    async def dressed(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), *more]
        await send(message)

    return dressed


async def _answer(send: Send, status: int, sentence: str) -> None:
    head = [(b"content-type", b"text/plain; charset=utf-8"), *HEADERS]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": sentence.encode()})
