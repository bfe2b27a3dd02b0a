"""A browser without a screen: it opens the page's connection and knows what was drawn and pressed."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any

import msgspec
import viser
import zstandard
from viser import _messages
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect


class Browser:
    """One tab."""

    def __init__(self, port: int, origin: str | None = None) -> None:
        self._socket = connect(
            f"ws://127.0.0.1:{port}",
            subprotocols=[f"viser-v{viser.__version__}"],
            origin=origin,
            max_size=None,
            open_timeout=10.0,
            close_timeout=0.5,
        )
        #: every message as plain data, with its `type`
        self.heard: list[dict[str, Any]] = []
        self.closed = False
        self.send(
            _messages.ViewerCameraMessage(
                (1.0, 0.0, 0.0, 0.0), (1.0, 1.0, 1.0), 0.8, 0.01, 100.0, 600, 800, (0.0, 0.0, 0.0), (0.0, 0.0, 1.0)
            )
        )

    def send(self, message: _messages.Message) -> None:
        with contextlib.suppress(ConnectionClosed):  # that it is closed is found by listening
            self._socket.send(msgspec.msgpack.encode(message.as_serializable_dict([])))

    def listen(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not self.closed and (left := deadline - time.monotonic()) > 0:
            try:
                data = self._socket.recv(timeout=left)
            except TimeoutError:
                return
            except ConnectionClosed:
                self.closed = True
                return
            length = int.from_bytes(data[8:16], "little")
            packed = zstandard.ZstdDecompressor().decompress(data[16 : 16 + length])
            self.heard += msgspec.msgpack.decode(packed)["messages"]

    def until(self, condition: Callable[[], Any], seconds: float = 20.0) -> Any:
        deadline = time.monotonic() + seconds
        while not (value := condition()):
            assert time.monotonic() < deadline, sorted({message["type"] for message in self.heard})
            assert not self.closed
            self.listen(0.05)
        return value

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.heard if message["type"] == kind]

    def element(self, label: str) -> str:
        """The id of a button or an input; empty if there is none."""
        found = [m["uuid"] for m in self.heard if m.get("props", {}).get("label") == label]
        return found[-1] if found else ""

    def change(self, label: str, value: Any = True) -> None:
        """Press a button, move a slider, tick a box."""
        uuid = self.until(lambda: self.element(label))
        self.send(_messages.GuiUpdateMessage(uuid, {"value": value}))

    def texts(self) -> str:
        """Everything that was ever shown as HTML."""
        shown = [m["props"]["content"] for m in self.of("GuiHtmlMessage")]
        return " ".join(shown + [m["updates"].get("content", "") for m in self.of("GuiUpdateMessage")])

    def close(self) -> None:
        self._socket.close()
