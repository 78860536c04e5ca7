"""A page of our own in a headless Chromium: how it is started, and how a person uses it."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parents[2]
SECONDS = 240  # for anything that is waited for


def until(what, seconds=SECONDS, every=0.25):
    """What `what` gives, once it is something."""
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, f"it did not happen in {seconds} s"
        time.sleep(every)
    return found


class Served:
    """`app.py` as a process.

    Args:
        home: its folder. more: its other arguments.
    """

    def __init__(self, home: Path, *more: str, env=None) -> None:
        self.home, self.more, self.env = home, more, env or {}
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"
        self.begin()

    def begin(self) -> None:
        """Start it, and wait until it answers."""
        command = [sys.executable, str(ROOT / "app.py"), "--home", str(self.home), *self.more]
        self.log = (self.home.parent / f"{self.home.name}.log").open("ab")
        self.process = subprocess.Popen(
            [*command, "--port", str(self.port)],
            stdout=self.log,
            stderr=subprocess.STDOUT,
            cwd=self.home.parent,
            env={**os.environ, **self.env},
        )
        until(self._answers, 60)

    def end(self, number: int = signal.SIGINT) -> int:
        """End it by a signal; returns its exit code."""
        self.process.send_signal(number)
        code = self.process.wait(30)
        self.log.close()
        return code

    def _answers(self) -> bool:
        assert self.process.poll() is None, Path(self.log.name).read_text()
        try:
            with urllib.request.urlopen(self.address, timeout=2):
                return True
        except OSError:
            return False


class Browser:
    """A person before the page."""

    def __init__(self, address: str) -> None:
        from selenium import webdriver
        from selenium.webdriver.chrome.options import Options
        from selenium.webdriver.chrome.service import Service

        options = Options()
        options.binary_location = shutil.which("chromium")
        for word in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
            options.add_argument(word)
        options.add_argument("--window-size=1360,1100")
        options.add_argument("--hide-scrollbars")
        options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
        self.driver = webdriver.Chrome(
            options=options, service=Service(shutil.which("chromedriver"))
        )
        self.address = address
        self.load()

    def load(self) -> None:
        """Load the page."""
        self.driver.get(self.address)
        until(lambda: self.all("#show_plan") or self.all("input[type=password]"), 60)

    def all(self, selector: str):
        """The elements that a selector finds."""
        return self.driver.find_elements("css selector", selector)

    def text(self, selector: str) -> str:
        """What they say."""
        return "\n".join(self.read(selector))

    def read(self, selector: str) -> list[str]:
        """What each of them says, also where it is out of sight."""
        script = "return [...document.querySelectorAll(arguments[0])].map(e => e.textContent)"
        return self.driver.execute_script(script, selector)

    def click(self, selector: str) -> None:
        """Click the first that can be."""

        def clicked() -> bool:
            for each in self.all(selector):
                try:
                    each.click()
                    return True
                except Exception:
                    continue
            return False

        until(clicked, 20)

    def tab(self, name: str) -> None:
        """Go to a tab."""
        until(lambda: [t for t in self.all("button[role=tab]") if t.text.strip() == name], 20)[
            0
        ].click()

    def open(self, name: str) -> None:
        """Open what is folded up, if it is."""
        for button in self.all("button.label-wrap"):
            if button.text.strip().startswith(name) and "open" not in button.get_attribute("class"):
                button.click()

    def fill(self, name: str, value) -> None:
        """Type into a field."""
        from selenium.webdriver.common.keys import Keys

        field = until(lambda: self.all(f"#{name} textarea, #{name} input"), 20)[0]
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(Keys.DELETE)
        text = str(value)
        field.send_keys(text)
        if name in ("pipeline", "weights", "branch", "key_weights", "training"):
            field.send_keys(Keys.ENTER)
            field.send_keys(Keys.ESCAPE)
        field.send_keys(Keys.TAB)
        self.driver.execute_script(
            "document.activeElement.blur()"
        )  # no list stays open over others

    def give(self, name: str, *paths: Path) -> str:
        """Upload files; returns what is said of them."""
        self.clear(name)
        field = until(lambda: self.all(f"#{name}_file input[type=file]"), 20)[0]
        return self._anew("#upload_said", lambda: field.send_keys("\n".join(map(str, paths))))

    def clear(self, name: str) -> None:
        """Take back what was uploaded in a field."""
        for button in self.all(f"#{name}_file button[aria-label='Clear']"):
            if button.is_displayed():
                button.click()

    def plan(self) -> str:
        """Show the plan; returns it."""
        return self._anew("#plan", lambda: self.click("#show_plan"))

    def start(self) -> str:
        """Start; returns what is said."""
        return self._anew("#plan", lambda: self.click("#start"))

    def _anew(self, place: str, work) -> str:
        """What is said in a place after `work`, and was not there before."""
        kinds = (".ml-table", ".ml-good", ".ml-error")
        mark = "document.querySelectorAll(arguments[0]).forEach(e => e.dataset.old = 1)"
        self.driver.execute_script(mark, ", ".join(f"{place} {kind}" for kind in kinds))
        work()
        fresh = ", ".join(f"{place} {kind}:not([data-old])" for kind in kinds)
        return until(lambda: self.text(fresh), 60)

    def requested(self) -> list[tuple[str, int]]:
        """(address, status) of what the browser has asked for since the last call."""
        found = []
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                found.append((message["params"]["request"]["url"], 0))
            if message["method"] == "Network.responseReceived":
                answer = message["params"]["response"]
                found.append((answer["url"], answer["status"]))
        return found

    def close(self) -> None:
        """Close it."""
        self.driver.quit()
