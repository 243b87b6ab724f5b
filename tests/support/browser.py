"""A headless Chromium driven through its DevTools protocol; only what the tests of the report need."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Self
from urllib.request import urlopen

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome", "chrome") if (found := shutil.which(name))), None
)
_START_S = 60


class Page:
    """A page that was opened: its console errors, its requests, and what a script finds in it."""

    def __init__(self, browser: Browser, *, width: int, height: int, dark: bool) -> None:
        self._browser = browser
        self.errors: list[str] = []
        self.requests: list[str] = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._call(f"{domain}.enable")
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self._call("Emulation.setDeviceMetricsOverride", **metrics)
        self._call("Emulation.setTouchEmulationEnabled", enabled=width < 600)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._call("Emulation.setEmulatedMedia", media="screen", features=[scheme])

    def open(self, path: Path, *, until: str) -> None:
        """The page of `path` is loaded and the script `until` is true there."""
        self._call("Page.navigate", url=path.resolve().as_uri())
        deadline_s = time.monotonic() + _START_S
        while not self.run(until):
            assert time.monotonic() < deadline_s, f"{path}: not {until}; {self.errors}"
            time.sleep(0.1)

    def run(self, script: str) -> Any:
        """What the expression gives, a promise awaited."""
        found = self._call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        return found["result"].get("value")

    def picture(self, path: Path) -> None:
        """The whole page as a PNG."""
        size = self._call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        shot = self._call("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        path.write_bytes(base64.b64decode(shot["data"]))

    def _call(self, method: str, **params: Any) -> dict[str, Any]:
        number = self._browser.send(method, params)
        while True:
            message = self._browser.receive()
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]
            self._hear(message)

    def _hear(self, message: dict[str, Any]) -> None:
        method, params = message.get("method"), message.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.errors.append(str(params["exceptionDetails"].get("exception", params)))
        elif method == "Runtime.consoleAPICalled" and params["type"] in {"error", "warning", "assert"}:
            self.errors.append(" ".join(str(one.get("value", one)) for one in params["args"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] in {"error", "warning"}:
            self.errors.append(params["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])


class Browser:
    """A Chromium with a profile of its own, ended with the block."""

    def __enter__(self) -> Self:
        import websocket

        assert CHROMIUM is not None
        self._profile = tempfile.TemporaryDirectory(prefix="chromium", ignore_cleanup_errors=True)
        command = [
            *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
            *("--remote-debugging-port=0", "--remote-allow-origins=*", f"--user-data-dir={self._profile.name}", "about:blank"),
        ]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        said = Path(self._profile.name) / "DevToolsActivePort"
        deadline_s = time.monotonic() + _START_S
        while not (said.is_file() and said.read_text().strip()):
            assert time.monotonic() < deadline_s and self._process.poll() is None, "the browser did not start"
            time.sleep(0.05)
        with urlopen(f"http://127.0.0.1:{said.read_text().split()[0]}/json/list") as answer:
            url = next(one["webSocketDebuggerUrl"] for one in json.load(answer) if one["type"] == "page")
        self._socket = websocket.create_connection(url, timeout=_START_S)
        self._number = 0
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        self._process.terminate()
        self._process.wait(timeout=_START_S)
        self._profile.cleanup()

    def page(self, *, width: int = 1440, height: int = 900, dark: bool = False) -> Page:
        """The browser's one page, of this size and colour scheme."""
        return Page(self, width=width, height=height, dark=dark)

    def send(self, method: str, params: dict[str, Any]) -> int:
        """Send a command; its number."""
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": params}))
        return self._number

    def receive(self) -> dict[str, Any]:
        """The next answer or event."""
        return json.loads(self._socket.recv())
