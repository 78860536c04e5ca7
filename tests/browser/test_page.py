"""The page as a person meets it: a headless Chromium, the shipped models, jobs that outlive page
and browser. Small sizes: a run is little more than loading and compiling.
"""

import hashlib
import http.cookiejar
import json
import os
import re
import signal
import time
import urllib.error
import urllib.request
from importlib.util import find_spec
from pathlib import Path
from shutil import which

import numpy as np
import pytest
from PIL import Image

pytestmark = [pytest.mark.slow, pytest.mark.browser]
DRIVEN = {"chromium": "chromium", "chromium-driver": "chromedriver"}
MISSING = [  # what installs it
    *(
        f"pip install '.[browser]' ({name})"
        for name in ("gradio", "selenium")
        if not find_spec(name)
    ),
    *(
        f"apt-get install {name}"
        for name in ("chromium", "chromium-driver")
        if not which(DRIVEN[name])
    ),
]
if MISSING and not os.environ.get("MINDLONG_PAGE_MUST"):  # with it what is missing is a failure
    pytest.skip(f"the browser test needs: {', '.join(MISSING)}", allow_module_level=True)

from page_driver import ROOT, Browser, Served, until  # noqa: E402

from mindlong.app.door import COOKIE  # noqa: E402
from mindlong.app.place import owner_of_browser  # noqa: E402
from mindlong.media.write import write_video  # noqa: E402
from mindlong.training import metrics  # noqa: E402

WORD = "a red circle moving right"
PICTURES = os.environ.get("MINDLONG_PAGE_PICTURES")  # a folder: the page's pictures are left there
SEEN = "const i = document.querySelector('#pictures img'); return i && i.naturalWidth > 0"
PASSWORD = "correct horse battery"
SHAPES = {  # pipeline -> fields, other keys, an upload
    "text_to_video": ({"steps": 4, "frames": 4, "deflicker": 2}, "", ""),
    "pixel": ({"steps": 2, "frames": 2}, "", ""),
    "hierarchical": ({"steps": 2, "frames": 0}, "lengths=[3, 3]", ""),
    "clip_parallel": ({"steps": 2, "frames": 4}, "", ""),
    "interpolate": ({"steps": 2, "frames": 0}, "keys=3\nfactor=2", ""),
    "extend": ({"steps": 2, "frames": 4}, "run=4", "images"),
    "edit": ({"steps": 2, "frames": 4, "guidance": 1}, "invert_steps=2", "video"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("page")


@pytest.fixture(scope="module")
def given(folder):
    """A video and an image of a red block that moves."""
    frames = np.full((4, 48, 48, 3), 24, np.uint8)
    for number in range(4):
        frames[number, 16:30, 4 + 6 * number : 18 + 6 * number] = (200, 30, 30)
    write_video(folder / "block.mp4", frames, 8)
    Image.fromarray(frames[0]).save(folder / "block.png")
    return {"video": folder / "block.mp4", "images": folder / "block.png"}


@pytest.fixture(scope="module")
def page(folder):
    made = Served(
        folder / "home", "--jobs", "2", "--trainings", str(ROOT / "mindlong" / "weights"),
        env={"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    yield made
    for started in made.home.glob("users/*/jobs/*"):
        (started / "waiting").unlink(missing_ok=True)
    made.end()


@pytest.fixture(scope="module")
def browser(page):
    made = Browser(page.address)
    yield made
    made.close()


def picture(browser, name):
    if PICTURES:
        browser.click(".ml-head h1")  # so that no list stays open
        browser.driver.execute_script("window.scrollTo(0, 0)")
        time.sleep(1.0)
        browser.driver.save_screenshot(str(Path(PICTURES) / f"{name}.png"))


def described(browser, pipeline, given):
    """Fill the form in for a pipeline."""
    fields, more, upload = SHAPES[pipeline]
    browser.tab("Make")
    browser.fill("pipeline", pipeline)
    until(lambda: pipeline in browser.all("#pipeline input")[0].get_attribute("value"), 10)
    time.sleep(1.0)  # the fields of another pipeline follow
    browser.open("Size, files and previews")
    browser.open("Other keys")
    for name in ("video", "images", "last"):
        browser.clear(name)
    browser.fill("prompts", WORD)
    browser.fill("previews", 1)
    browser.fill("more", more)
    for name, value in fields.items():
        browser.fill(name, value)
    if upload:
        assert "checked and kept" in browser.give(upload, given[upload])


def row_of(browser, name):
    """The state of a job in the list."""
    cells = [text.strip() for text in browser.read("#jobs [role=gridcell]")]
    return next((cells[n + 1] for n, text in enumerate(cells[:-1]) if text == name), "")


def choose(browser, table, name):
    """Click the row of a list that begins with `name`."""

    def clicked():
        for cell in browser.all(f"#{table} [role=gridcell]"):
            if cell.is_displayed() and cell.text.strip() == name:
                cell.click()
                return True
        return False

    until(clicked, 30)


def cookie(browser):
    return browser.driver.get_cookie(COOKIE)["value"]


def job_folder(page, browser, number):
    return page.home / "users" / owner_of_browser(cookie(browser)) / "jobs" / number


def test_the_plan_says_memory_and_time_and_starts_nothing(page, browser, given):
    described(browser, "text_to_video", given)
    said = browser.plan()
    assert (
        "1 videos of 4 frames" in said
        and "GiB" in said
        and "not known before the first run" in said
    )
    picture(browser, "plan")
    assert not list(page.home.glob("users/*/jobs/*"))


def test_a_refusal_is_a_sentence_on_the_page(browser, given):
    described(browser, "text_to_video", given)
    browser.fill("weights", "/etc/passwd")
    assert "which this page may not read" in browser.start()
    browser.fill("weights", "shipped:latent_shapes")
    browser.fill("more", "sample.stepz=4")
    said = browser.start()
    assert "unknown key" in said and "sample.steps" in said
    browser.fill("more", "")
    browser.fill("pipeline", "animate")
    time.sleep(1.0)
    browser.fill("weights", "shipped:latent_shapes")
    browser.fill("prompts", WORD)
    assert "nothing to animate" in browser.start()  # these weights take no image
    described(browser, "extend", given)
    hostile = given["images"].with_name("hostile.png")
    hostile.write_bytes(b"<!DOCTYPE html><script>document.title='taken'</script>")
    assert "is a web page" in browser.give("images", hostile)
    assert browser.driver.title == "mindlong"


def test_every_pipeline_from_the_form_to_a_video(page, browser, given):
    names = [f"{n:04d}" for n in range(1, len(SHAPES) + 1)]
    for name, pipeline in zip(names, SHAPES, strict=True):
        described(browser, pipeline, given)
        assert f"Job {name} is in the queue" in browser.start(), pipeline
    browser.tab("Jobs")
    seen = set()

    def all_done():
        seen.update(state for name in names if (state := row_of(browser, name)))
        assert "failed" not in seen, browser.text("#progress") + browser.text("#said")
        return all(row_of(browser, name) == "done" for name in names)

    until(all_done, 600, 0.5)
    assert {"running", "waiting", "done"} <= seen
    for name, pipeline in zip(names, SHAPES, strict=True):
        run = job_folder(page, browser, name) / "runs" / "0001"
        record = json.loads((run / "video.json").read_text())
        assert f"pipeline: {pipeline}" in record["config"] and list(run.glob("*.mp4")), pipeline
        assert list((run / "preview").glob("*.png")), pipeline


def test_the_player_plays(browser):
    choose(browser, "jobs", "0001")
    playing = "const v = document.querySelector('#pictures video'); return v && v.videoWidth > 0 && v.readyState >= 2"
    until(lambda: browser.driver.execute_script(playing), 30)
    loaded = "return [...document.querySelectorAll('#pictures img')].every(i => i.naturalWidth > 0)"
    until(lambda: browser.driver.execute_script(loaded), 30)
    picture(browser, "result")


def test_the_time_is_known_after_a_run(browser, given):
    described(browser, "text_to_video", given)
    assert re.search(r"about \d+ (s|min).*as job 0001 took", browser.plan())


def test_a_job_is_stopped_outlives_the_page_and_goes_on(page, browser, given):
    """The page is killed in the middle; a new one finds the job and stops it, and it goes on."""
    described(browser, "text_to_video", given)
    browser.fill("steps", 400)
    browser.fill("previews", 10)
    said = browser.start()
    name = re.search(r"Job (\d+)", said)[1]
    folder = job_folder(page, browser, name)
    until(lambda: (folder / "progress.json").exists())
    page.end(signal.SIGKILL)
    page.begin()
    browser.load()
    browser.tab("Jobs")
    choose(browser, "jobs", name)
    until(lambda: row_of(browser, name) == "running", 30)
    until(lambda: browser.driver.execute_script(SEEN), 120)
    assert re.search(r"denoising \d+ of 400 steps", browser.text("#progress"))
    picture(browser, "job")
    browser.click("#stop")
    until(lambda: row_of(browser, name) == "stopped", 60)
    assert not (folder / "runs" / "0001" / "video.json").exists()
    browser.click("#go_on")
    until(lambda: row_of(browser, name) in ("running", "waiting"), 30)
    until(lambda: row_of(browser, name) == "done")


def test_an_earlier_run_is_made_again_with_another_seed(page, browser):
    browser.tab("Earlier runs")
    choose(browser, "runs", "job 0002")
    until(lambda: browser.all("#run_media video"), 30)
    browser.open("Made with")
    until(lambda: "pipeline" in browser.text("#config"), 20)
    picture(browser, "earlier")
    browser.fill("new_seed", 5)
    browser.click("#again")
    name = re.search(r"Job (\d+)", until(lambda: browser.text("#again_said .ml-good"), 30))[1]
    browser.tab("Jobs")
    until(lambda: row_of(browser, name) == "done")
    made, first = (job_folder(page, browser, n) / "runs" / "0001" for n in (name, "0002"))
    assert json.loads((made / "video.json").read_text())["prompts"][0]["seed"] == 5
    digests = [hashlib.sha256((run / "video.mp4").read_bytes()).digest() for run in (made, first)]
    assert digests[0] != digests[1]


def test_a_training_is_watched(browser):
    browser.tab("Trainings")
    loaded = "const i = document.querySelector('#curves img'); return i && i.naturalWidth > 400"
    until(lambda: browser.driver.execute_script(loaded), 30)
    assert "loss" in browser.text("#facts")
    picture(browser, "training")


def test_a_training_that_begins_later_is_listed_and_what_is_typed_stays(folder):
    """The page was open before; the lists of trainings and of weights follow by themselves."""
    trainings = folder / "trainings"
    trainings.mkdir()
    page = Served(folder / "watching", "--trainings", str(trainings))
    browser = Browser(page.address)
    weights = "return document.querySelector('#weights input').value"
    watched = "return document.querySelector('#training input').value"
    try:
        browser.fill("weights", "some/path")
        browser.tab("Trainings")
        until(lambda: "No training yet" in browser.text("#curves"), 30)
        begun(trainings / "second")
        until(lambda: browser.driver.execute_script(watched) == "trainings/second", 30)
        until(lambda: browser.all("#curves img"), 30)
        begun(trainings / "first")
        browser.tab("Make")
        until(lambda: str(trainings / "first") in offered(browser, "weights"), 30)
        assert browser.driver.execute_script(weights) == "some/path"
        browser.tab("Trainings")
        assert {"trainings/first", "trainings/second"} <= set(offered(browser, "training"))
        assert browser.driver.execute_script(watched) == "trainings/second"
        browser.fill("training", "trainings/first")
        time.sleep(12)  # two looks: what was chosen stays
        assert browser.driver.execute_script(watched) == "trainings/first"
    finally:
        browser.close()
        page.end()


def begun(place):
    """A training's folder with a row."""
    place.mkdir()
    (place / "config.yaml").write_text("task: pixel\n")
    (place / metrics.FILE).write_text(f"{','.join(metrics.COLUMNS)}\n1,0.5,0.5,0.001,0,4,0.1,900\n")


def offered(browser, name):
    """What a list offers, opened and closed again."""
    browser.all(f"#{name} input")[0].click()
    time.sleep(0.5)
    found = [each.text.strip().removeprefix("✓").strip() for each in browser.all("[role=option]")]
    browser.click(".ml-head h1")
    return found


def test_words_of_a_prompt_are_only_words(page, browser, given):
    described(browser, "pixel", given)
    hostile = "<img src=x onerror=\"document.title='taken'\">${document.title='taken'}{{7*7}}"
    browser.fill("prompts", hostile)
    browser.fill("frames", 2)
    name = re.search(r"Job (\d+)", browser.start())[1]
    browser.tab("Jobs")
    until(lambda: row_of(browser, name) in ("waiting", "running", "done"), 30)
    choose(browser, "jobs", name)
    until(lambda: "onerror" in browser.text("#progress"), 20)
    assert browser.driver.title == "mindlong" and not browser.all("#progress img")
    until(lambda: row_of(browser, name) == "done")


def test_another_browser_sees_nothing_of_it(page, browser, given):
    video = until(lambda: browser.driver.execute_script(
        "const v = document.querySelector('#pictures video'); return v && v.src"), 30)  # fmt: skip
    other = Browser(page.address)
    try:
        assert cookie(other) != cookie(browser)
        other.tab("Jobs")
        time.sleep(3)
        assert not [text for text in other.read("#jobs [role=gridcell]") if text.strip()]
        status = "return fetch(arguments[0]).then(r => r.status)"
        assert browser.driver.execute_script(status, video) in (200, 206)
        assert other.driver.execute_script(status, video) == 403
    finally:
        other.close()


def test_the_page_asks_nobody_else(page, browser):
    asked = [address for address, _ in browser.requested()]
    assert len(asked) > 50
    own = (page.address, "data:", "blob:", "about:", "chrome:", "devtools:")
    assert not [address for address in asked if not address.startswith(own)]


def fetched(page, path, data=None, **headers):
    request = urllib.request.Request(page.address + path, data=data, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/file=../../../../etc/passwd",
        "/gradio_api/file=%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "/gradio_api/file={home}/users",
        "/gradio_api/file={job}/config.yaml",
        "/gradio_api/file={job}/runs/0001/video.mp4",
        "/gradio_api/file={root}/setup.py",
        "/gradio_api/file={home}/served/../users",
        "/gradio_api/file=http://127.0.0.1:9/x",
        "/gradio_api/proxy=http://127.0.0.1:9/x",
        "/gradio_api/vibe-code/",
        "/file={root}/setup.py",
        "/assets/../../setup.py",
        "/assets/%2e%2e/%2e%2e/%2e%2e/blocks.py",
        "/static/../../../../../etc/passwd",
    ],
)
def test_nothing_outside_is_fetched(page, browser, path):
    job = job_folder(page, browser, "0001")
    status, body = fetched(
        page, path.format(home=page.home, job=job, root=ROOT), Cookie=f"{COOKIE}={cookie(browser)}"
    )
    assert status in (403, 404) and b"root:" not in body and b"setup(" not in body


@pytest.mark.parametrize(
    "named",
    [
        {"path": "/etc/passwd"},
        {"path": "{job}/config.yaml"},
        {"path": "http://127.0.0.1:9/x.png"},
        {"path": "x.png", "url": "http://127.0.0.1:9/x.png"},
        {"path": "{home}/served/../users"},
    ],
)
def test_a_call_that_names_a_file_of_the_machine_keeps_nothing(page, browser, named):
    """What a person's browser would send after an upload, by hand."""
    config = json.loads(fetched(page, "/config")[1])
    inputs = [
        c["id"] for c in config["components"] if c.get("props", {}).get("elem_id") == "images_file"
    ]
    call = next(
        d for d in config["dependencies"] if d["inputs"] == inputs and "upload" in str(d["targets"])
    )
    job = job_folder(page, browser, "0001")
    file = {k: v.format(home=page.home, job=job) for k, v in named.items()}
    body = {
        "data": [[{**file, "meta": {"_type": "gradio.FileData"}}]],
        "fn_index": call["id"],
        "session_hash": "abcdef",
    }
    held = page.home / "users" / owner_of_browser(cookie(browser)) / "uploads"
    before = sorted(held.iterdir())
    own = {"Cookie": f"{COOKIE}={cookie(browser)}", "Content-Type": "application/json"}
    fetched(page, "/gradio_api/queue/join", json.dumps(body).encode(), **own)
    request = urllib.request.Request(
        f"{page.address}/gradio_api/queue/data?session_hash=abcdef", headers=own
    )
    said = b""
    with urllib.request.urlopen(request, timeout=30) as answer:
        while b"close_stream" not in said and (line := answer.readline()):
            said += line
    assert b"process_completed" in said and b"root:" not in said
    assert sorted(held.iterdir()) == before


def test_with_users_nobody_comes_in_without_a_password(folder):
    (folder / "secret").write_text(f"anna:{PASSWORD}\nboris:{PASSWORD}2\n")
    page = Served(
        folder / "closed",
        "--user",
        "anna",
        "--user",
        "boris",
        "--password_file",
        str(folder / "secret"),
    )
    browser = None
    try:
        assert fetched(page, "/config")[0] == 401
        assert fetched(page, "/gradio_api/upload", b"x")[0] == 401
        jar = urllib.request.build_opener(
            urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        )
        with pytest.raises(urllib.error.HTTPError):
            jar.open(f"{page.address}/login", b"username=anna&password=wrong", timeout=20)
        browser = Browser(page.address)
        browser.all("input")[0].send_keys("anna")
        browser.all("input[type=password]")[0].send_keys(PASSWORD)
        browser.click("button[type=submit], form button, button")
        until(lambda: browser.all("#show_plan"), 30)
        assert "GiB" in browser.plan()
    finally:
        if browser:
            browser.close()
        page.end()
    assert PASSWORD not in (folder / "closed.log").read_text()
