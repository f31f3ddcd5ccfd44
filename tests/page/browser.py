"""A page's server in a process of its own, and a headless Chromium that looks at it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
PATIENCE = 180.0  # seconds; the machine may be busy with other things


def until(what: str, condition: Callable[[], Any], patience: float = PATIENCE) -> Any:
    """Wait for a condition and return its value; elements that Selenium finds may be replaced meanwhile.

    Parameters
    ----------
    what : str
        What is waited for, which the failure says.
    condition : callable
    patience : float
        In seconds.
    """
    from selenium.common.exceptions import WebDriverException

    deadline = time.monotonic() + patience
    last: object = None
    while True:
        try:
            found = condition()
            if found:
                return found
            last = found
        except (WebDriverException, IndexError) as error:
            last = error
        assert time.monotonic() < deadline, f"waited {patience:.0f} seconds for {what}; at last: {last!r}"
        time.sleep(0.05)


@contextlib.contextmanager
def server(folder: Path, *options: str) -> Iterator[str]:
    """The page's server, which works in a folder; its address. The tests' signal ends it as Ctrl-C does."""
    command = [sys.executable, PROJECT / "scripts" / "page.py", "--port", "0", "--no-browser", *options]
    command += ["--python", str(Path(os.environ["NSTYLE_PYTHON"]).absolute())]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(list(map(str, command)), cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("the page is at "), line
        yield line.split()[4].rstrip(";")
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(PATIENCE)
        finally:
            process.kill()


@contextlib.contextmanager
def chromium(folder: Path, width: int = 1280, height: int = 1400) -> Iterator[Any]:
    """A browser with a profile and downloads of its own in a folder."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = _program("chromium")
    for argument in (
        *("headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking"),
        *("disable-component-update", "disable-sync", "disable-dev-shm-usage", "hide-scrollbars"),
        *(f"user-data-dir={folder / 'profile'}", f"window-size={width},{height}"),
    ):
        options.add_argument(f"--{argument}")
    options.add_experimental_option("prefs", {"download.default_directory": str(folder / "downloads")})
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    service = webdriver.ChromeService(executable_path=_program("chromedriver"))
    driver = webdriver.Chrome(options=options, service=service)
    try:
        yield driver
    finally:
        driver.quit()


def _program(name: str) -> str:
    import shutil

    found = shutil.which(name)
    assert found, f"{name} is not installed"
    return found


class Tab:
    """The page in the present tab of a browser.

    Parameters
    ----------
    driver : selenium.webdriver.Chrome
    """

    def __init__(self, driver: Any) -> None:
        self.driver = driver
        self.handle = driver.current_window_handle

    def open(self, address: str) -> Tab:
        self.driver.get(address)
        until("the page", lambda: self.all("#refine") and self.all("#status .state"))
        return self

    def show(self) -> Tab:
        self.driver.switch_to.window(self.handle)
        return self

    def all(self, selector: str) -> list[Any]:
        return self.driver.find_elements("css selector", selector)

    def one(self, selector: str) -> Any:
        return until(selector, lambda: next(iter(self.all(selector)), None))

    def click(self, selector: str, index: int = 0) -> None:
        def clicked() -> bool:
            element = self.all(selector)[index]
            self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
            if not element.is_enabled():
                return False
            element.click()
            return True

        until(f"{selector}, number {index}, to be clicked", clicked)

    def send(self, selector: str, path: Path) -> None:
        """Choose a file for an upload."""

        def sent() -> bool:
            self.all(f"{selector} input[type=file]")[0].send_keys(str(path))
            return True

        until(f"{selector} to take a file", sent)

    def set(self, selector: str, value: float) -> None:
        """Type a value into the number of a slider."""
        events = "['input', 'change', 'blur'].forEach(name => f.dispatchEvent(new Event(name, {bubbles: true})))"

        def typed() -> bool:
            field = self.all(f"{selector} input[type=number]")[0]
            self.driver.execute_script(f"const f = arguments[0]; f.value = arguments[1]; {events}", field, str(value))
            return True

        until(f"{selector} to take a number", typed)

    def value(self, selector: str) -> float:
        field = f"{selector} input[type=number]"
        return float(until(f"the value of {field}", lambda: self.one(field).get_attribute("value")))

    @property
    def state(self) -> str:
        return until("a state", lambda: self.one("#status .state").get_attribute("data-state"))

    @property
    def said(self) -> str:
        return until("the text of the state", lambda: self.one("#status .state").text)

    def reaches(self, *states: str) -> str:
        """Wait for one of these states; another from which none of them can come any more is a failure."""
        found = until(
            f"the state {' or '.join(states)}",
            lambda: self.state if self.state in (*states, "failed") else None,
        )
        assert found in states, self.said
        return str(found)

    def says(self, *parts: str) -> None:
        """Wait until the state's text has all of these."""
        until(f"{parts} in the text of the state", lambda: all(part in self.said for part in parts))

    def has(self, selector: str, count: int = 1) -> None:
        """Wait for elements."""
        until(f"{count} of {selector}", lambda: len(self.all(selector)) >= count)

    def picture(self) -> str:
        """The address of the picture that is shown."""
        return str(until("a picture", lambda: self.all("#picture img")[0].get_attribute("src")))

    def requested(self) -> set[str]:
        """The addresses of everything that was asked for since the last call."""
        found = set()
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                found.add(message["params"]["request"]["url"])
        return found
