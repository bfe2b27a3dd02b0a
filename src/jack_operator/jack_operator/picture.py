"""A picture of the page: the shipped policy walks in a live simulation, and a browser without a screen looks on.

    . .jack/env.sh; python -m jack_operator.picture

Chromium draws in software here (SwiftShader), a few frames a second. It is asked for its picture over the DevTools
protocol, on the loopback interface.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro
from websockets.sync.client import connect

from jack_contract.errors import JackError
from jack_contract.testing import ros_domain

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
#: How long somebody may take to be there [s].
PATIENCE = 90.0
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",
    "--remote-debugging-address=127.0.0.1",
    "--remote-debugging-port=0",
)


#: Closes notices; they take some time to fade [s].
_CLOSE = "document.querySelectorAll('.mantine-Notification-closeButton').forEach(button => button.click())"
_FADING = 3.0


@dataclass(frozen=True)
class Options:
    """What the picture is to show."""

    #: where it goes
    output: Path = Path("docs/view.png")
    #: forward, left [m/s], turn left [rad/s]
    walk: tuple[float, float, float] = (0.5, 0.0, 0.0)
    #: for how long he walks and the page is open before it is taken [s]
    seconds: float = 40.0
    #: of the picture [pixel]
    size: tuple[int, int] = (1600, 900)


@contextlib.contextmanager
def process(*argv: str | Path) -> Iterator[subprocess.Popen[str]]:
    """A program and whatever it starts; at the end they are gone."""
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    started = subprocess.Popen(
        argv,
        text=True,
        env=environment,
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        yield started
    finally:
        for number in (signal.SIGINT, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
                os.killpg(started.pid, number)
                started.wait(timeout=5.0)


def await_words(started: subprocess.Popen[str], pattern: str) -> re.Match[str]:
    """What a program says that looks so; whatever it says afterwards is let go.

    Raises:
        JackError: it did not say it in time.
    """
    said: list[str] = []

    def listen() -> None:
        said.extend(started.stdout or ())

    threading.Thread(target=listen, daemon=True).start()
    return until(lambda: re.search(pattern, "".join(said)), lambda: f"{started.args!r} said only: {''.join(said)}")


def until(condition: Callable[[], Any], complaint: Callable[[], str]) -> Any:  # noqa: ANN401 - what it gives
    """The condition's value as soon as it is true; a JackError if it is not in time."""
    deadline = time.monotonic() + PATIENCE
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise JackError(complaint())
        time.sleep(0.1)
    return value


def photograph(browser: str, address: str, options: Options, folder: Path) -> bytes:
    """Open a page, wait, and take its picture; returns a PNG file."""
    size = f"--window-size={options.size[0]},{options.size[1]}"
    with process("nice", "-n", "19", browser, *_FLAGS, size, f"--user-data-dir={folder}", address):
        file = folder / "DevToolsActivePort"
        port = until(
            lambda: file.is_file() and file.read_text().split("\n")[0], lambda: "The browser did not start."
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://127.0.0.1:{port}/json/list") as answer:
            page = next(target for target in json.load(answer) if target["type"] == "page")
        with connect(page["webSocketDebuggerUrl"], max_size=None, proxy=None) as socket:
            numbers = itertools.count(1)

            def ask(method: str, **parameters: Any) -> dict[str, Any]:  # noqa: ANN401 - as the protocol has them
                number = next(numbers)
                socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
                while (said := json.loads(socket.recv(timeout=PATIENCE))).get("id") != number:
                    pass
                return said["result"]

            width, height = options.size
            ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
            time.sleep(options.seconds)
            ask("Runtime.evaluate", expression=_CLOSE)  # what the page says of drawing in software
            time.sleep(_FADING)
            return base64.b64decode(ask("Page.captureScreenshot", format="png")["data"])


def deploy(walk: Sequence[float], runs: Path) -> list[str]:
    """The command that lets him walk."""
    command = [sys.executable, "-m", "jack_trainer.cli", "deploy", "--sim", "--policy", "pretrained"]
    return [*command, "--walk", *map(str, walk), "--runs", str(runs)]


def main(options: Options) -> None:
    """Make the picture.

    Raises:
        JackError: there is no browser, or somebody did not start.
    """
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise JackError(f"There is none of {', '.join(BROWSERS)}; type: sudo apt-get install chromium")
    with ros_domain() as domain, tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        os.environ |= {"ROS_DOMAIN_ID": str(domain), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
        view = [
            sys.executable,
            "-m",
            "jack_operator.view_node",
            "--ros-args",
            "-p",
            "port:=0",
        ]
        with process(*deploy(options.walk, Path(folder) / "runs")) as jack, process(*view) as page:
            address = await_words(page, r"http://127\.0\.0\.1:\d+")[0]
            await_words(jack, "stands on his own feet")
            picture = photograph(browser, address, options, Path(folder) / "browser")
    aside = options.output.with_suffix(".tmp")
    aside.write_bytes(picture)
    aside.replace(options.output)
    print(options.output)


if __name__ == "__main__":
    try:
        main(tyro.cli(Options, description=__doc__))
    except JackError as error:
        sys.exit(f"picture: {error}")
