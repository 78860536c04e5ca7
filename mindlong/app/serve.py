"""Starting the page: Gradio behind our door, on one address, without words to anybody else."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mindlong.app.door import Door
from mindlong.app.passwords import LOOPBACK, Gate
from mindlong.app.queue import Queue
from mindlong.utils.claim import Claim
from mindlong.utils.errors import ConfigError, UserError

if TYPE_CHECKING:
    from mindlong.app.place import Place

ANY = ("0.0.0.0", "::", "")
QUIET = {  # no word to anybody; set before Gradio is imported
    "GRADIO_ANALYTICS_ENABLED": "False",
    "GRADIO_SHARE": "False",
    "GRADIO_RUN_HISTORY": "False",
    "GRADIO_SSR_MODE": "False",
    "GRADIO_MCP_SERVER": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "DO_NOT_TRACK": "1",
}
SLACK = 2**20  # bytes of a request around a file
TRIED = 20  # ports, where none was asked for


def gradio_quietly(place: Place) -> Any:
    """The module gradio, told to be quiet and where to keep files. Raises UserError without it."""
    os.environ.update(QUIET)
    os.environ["GRADIO_TEMP_DIR"] = str(place.served)
    try:
        import gradio
    except ModuleNotFoundError as error:
        raise UserError(
            f"the page needs the Python package {error.name}, which is not there; install it with pip install '.[app]' "
            "in a checkout, or pip install 'mindlong[app]'"
        ) from None
    return gradio


def serve(place: Place, host: str, port: int, known: Mapping[str, str]) -> int:
    """Show the page until it is stopped; jobs go on then.

    Args:
        known: name -> password of those who may come in; none: whoever is at this machine.

    Raises:
        UserError: Gradio is not installed, or another page has the folder.
        ConfigError: the address cannot be taken.
    """
    place.prepare()
    gradio_quietly(place)
    taken = _bound(host, port)
    with Claim(place.home, "is the folder of a page that is shown"):
        queue = Queue(place)
        app = built(place, queue, known, host)
        queue.open()
        try:
            _run(app, taken, host)
        finally:
            queue.close()
    return 0


def built(place: Place, queue: Queue, known: Mapping[str, str], host: str) -> Door:
    """The page as an ASGI application."""
    import gradio
    from fastapi import FastAPI

    from mindlong.app.page.build import page
    from mindlong.app.page.look import CSS, HEAD, theme

    blocks = page(place, queue, bool(known))
    outer = gradio.mount_gradio_app(
        FastAPI(openapi_url=None, docs_url=None, redoc_url=None),
        blocks,
        path="/",
        server_name=host,
        auth=Gate(known) if known else None,
        auth_message="mindlong" if known else None,
        allowed_paths=[],
        show_error=False,
        max_file_size=place.upload_mb * 2**20,
        ssr_mode=False,
        enable_monitoring=False,
        mcp_server=False,
        pwa=False,
        run_history=False,
        footer_links=[],
        theme=theme(),
        css=CSS,
        head=HEAD,
    )
    inner = next(
        route.app for route in outer.routes if hasattr(getattr(route, "app", None), "tokens")
    )
    names = () if host in ANY else (*LOOPBACK, host) if host in LOOPBACK else (host,)
    limit = place.upload_mb * 2**20 + SLACK
    return Door(outer, place, names, _user_of(inner) if known else None, limit)


def _user_of(inner: Any) -> Any:
    """Who is logged in, by the cookies that Gradio gave."""

    def user_of(cookies: Mapping[str, str]) -> str | None:
        for name in ("access-token", "access-token-unsecure"):
            user = inner.tokens.get(cookies.get(f"{name}-{inner.cookie_id}"))
            if user:
                return user
        return None

    return user_of


def _bound(host: str, port: int) -> socket.socket:
    """A socket on the address; without a port the first free one from 7860 on."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    tries = [port] if port else list(range(7860, 7860 + TRIED))
    for each in tries:
        taken = socket.socket(family, socket.SOCK_STREAM)
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind((host, each))
            return taken
        except OSError as error:
            taken.close()
            why = error.strerror or str(error)
    raise ConfigError(f"--host {host} --port {tries[-1]}: the address cannot be taken: {why}")


def _run(app: Door, taken: socket.socket, host: str) -> None:
    import uvicorn

    address = f"[{host}]" if ":" in host else host
    print(f"the page is at http://{address}:{taken.getsockname()[1]}/", flush=True)
    print("Ctrl-C ends it; jobs that run go on, and the page finds them again", flush=True)
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, server_header=False, date_header=False
    )
    uvicorn.Server(config).run(sockets=[taken])
