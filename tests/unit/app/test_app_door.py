"""Requests that do not get in: other sites, other addresses of Gradio, files of others."""

import asyncio
import os
from urllib.parse import unquote

import pytest
from app_places import place_in

from mindlong.app.door import COOKIE, Door, cookies_of
from mindlong.app.place import SECRET, owner_of_browser, owner_of_user

HOST = "127.0.0.1:7860"
OF_ANNA, OF_BORIS = "a" * 32, "b" * 32  # cookies
ANNA, BORIS = owner_of_browser(OF_ANNA), owner_of_browser(OF_BORIS)


@pytest.fixture
def place(tmp_path):
    made = place_in(tmp_path)
    for folder in (ANNA, BORIS, "0" * 64, "other"):
        (made.served / folder / "1-2-3").mkdir(parents=True)
        (made.served / folder / "1-2-3" / "video.mp4").write_bytes(b"frames")
    (made.served / ANNA / "link.mp4").symlink_to("/etc/passwd")
    (made.served / ANNA / "folder").symlink_to(made.served / BORIS)
    (made.home / "users" / ANNA).mkdir()
    return made


def asked(
    place,
    path,
    *,
    host=HOST,
    secret=OF_ANNA,
    names=("127.0.0.1", "localhost"),
    user_of=None,
    **headers,
):
    """(status, headers) of a request; 200 where it got in."""
    given = {"host": host, **{k.replace("_", "-"): v for k, v in headers.items()}}
    if secret:
        given.setdefault("cookie", f"{COOKIE}={secret}")
    scope = {
        "type": "http",
        "path": unquote(path),
        "headers": [(k.encode(), v.encode("latin-1")) for k, v in given.items()],
    }
    sent = []

    async def inside(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message):
        sent.append(message)

    asyncio.run(Door(inside, place, names, user_of, 10 * 2**20)(scope, None, send))
    return sent[0]["status"], dict(sent[0]["headers"])


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/config",
        "/login",
        "/assets/index-a1b2.js",
        "/gradio_api/queue/join",
        "/gradio_api/upload",
    ],
)
def test_what_the_page_needs_gets_in(place, path):
    assert asked(place, path)[0] == 200


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/proxy=http://127.0.0.1:1/",
        "/gradio_api/vibe-edit/",
        "/gradio_api/vibe-code",
        "/gradio_api/dev/reload",
        "/gradio_api/component_server",
        "/gradio_api/run/predict",
        "/gradio_api/call/predict",
        "/gradio_api/run-history/connect",
        "/gradio_api/runs",
        "/gradio_api/deep_link",
        "/gradio_api/process_recording",
        "/gradio_api/openapi.json",
        "/gradio_api/token",
        "/gradio_api/info",
        "/gradio_api/custom_component/a/server/component/style.css",
        "/gradio_api/stream/a/b/1/playlist.m3u8",
        "/gradio_api/mcp/sse",
        "/monitoring",
        "/docs",
        "/openapi.json",
        "/file=/etc/passwd",
        "/gradio_api/file/etc/passwd",
        "//gradio_api/file=/etc/passwd",
        "/assets/../../../etc/passwd?",
        "/static/a\n/b",
        "/etc/passwd",
    ],
)
def test_what_the_page_does_not_need_is_not_there(place, path):
    assert asked(place, path)[0] == 404


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "etc/passwd",
        "",
        "{home}",
        "{home}/users/{anna}",
        "{served}",
        "{served}/other/1-2-3/video.mp4",
        "{served}/{boris}/1-2-3/video.mp4",
        "{served}/{anna}/../{boris}/1-2-3/video.mp4",
        "{served}/{anna}/%2e%2e/{boris}/1-2-3/video.mp4",
        "{served}/{anna}/%252e%252e/{boris}/1-2-3/video.mp4",
        "{served}/{anna}/../../users",
        "{served}/{anna}/link.mp4",
        "{served}/{anna}/folder/1-2-3/video.mp4",
        "{served}/{anna}/1-2-3/video.mp4%00.png",
        "http://127.0.0.1:1/x.png",
        "https://example.org/x.png",
        "file:///etc/passwd",
        "~/.ssh/id_rsa",
    ],
)
def test_a_file_that_is_not_for_the_browser_is_refused(place, path):
    written = path.format(home=place.home, served=place.served, anna=ANNA, boris=BORIS)
    assert asked(place, f"/gradio_api/file={written}")[0] == 403


def test_a_copy_is_for_whom_it_was_made(place):
    own = f"/gradio_api/file={place.served}/{ANNA}/1-2-3/video.mp4"
    assert asked(place, own)[0] == 200
    assert [asked(place, own, secret=other)[0] for other in (OF_BORIS, "", "zz", ANNA)] == [403] * 4
    uploaded = f"/gradio_api/file={place.served}/{'0' * 64}/1-2-3/video.mp4"
    assert asked(place, uploaded)[0] == 200


def test_with_users_a_cookie_of_a_browser_is_nobody(place):
    anna = owner_of_user("anna")
    (place.served / anna).mkdir()
    (place.served / anna / "video.mp4").write_bytes(b"frames")
    path = f"/gradio_api/file={place.served}/{anna}/video.mp4"
    users = {"t1": "anna", "t2": "boris"}.get
    for token, status in (("t1", 200), ("t2", 403), ("", 403)):
        found = asked(
            place,
            path,
            cookie=f"{COOKIE}={OF_ANNA}; token={token}",
            user_of=lambda c: users(c.get("token", "")),
        )
        assert found[0] == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example"}, 421),
        ({"host": "evil.example:7860"}, 421),
        ({"host": ""}, 421),
        ({"host": "127.0.0.1.evil.example"}, 421),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://127.0.0.1:9999"}, 403),
        ({"content_length": str(11 * 2**20)}, 413),
        ({"content_length": "-1"}, 413),
        ({"content_length": "1e9"}, 413),
        ({"transfer_encoding": "chunked"}, 411),
    ],
)
def test_other_sites_and_large_requests_are_refused(place, headers, status):
    assert asked(place, "/gradio_api/upload", **headers)[0] == status


def test_the_page_itself_may_post(place):
    assert asked(place, "/gradio_api/queue/join", origin=f"http://{HOST}")[0] == 200
    assert asked(place, "/", host="[::1]:7860", names=("::1",))[0] == 200


def test_a_new_browser_gets_a_cookie_of_its_own(place):
    found = [asked(place, "/", secret="")[1][b"set-cookie"].decode() for _ in range(2)]
    owners = [cookies_of(text)[COOKIE] for text in found]
    assert all(SECRET.fullmatch(o) for o in owners) and owners[0] != owners[1]
    assert all("HttpOnly" in text and "SameSite=Strict" in text for text in found)
    assert b"set-cookie" not in asked(place, "/")[1]
    assert b"set-cookie" in asked(place, "/", secret="../../etc")[1]


def test_every_answer_keeps_other_sites_out(place):
    for path in ("/", "/nothing"):
        headers = asked(place, path)[1]
        assert b"frame-ancestors 'none'" in headers[b"content-security-policy"]
        assert headers[b"x-content-type-options"] == b"nosniff"


def test_other_protocols_are_not_spoken(place):
    async def inside(scope, receive, send):
        raise AssertionError("a socket got in")

    asyncio.run(Door(inside, place, (), None, 1)({"type": "websocket", "path": "/"}, None, None))
    assert os.path.isdir(place.served)
