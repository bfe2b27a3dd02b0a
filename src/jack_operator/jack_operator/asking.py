"""Asking a service for something, and saying what came of it. The client is handed in: no ROS is imported."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

#: How long an answer may take [s].
PATIENCE = 3.0
#: How long it may take until a service is found [s]; a question is put no later.
DISCOVERY = 3.0
#: Time between two questions, while the first was not answered [s]. A question may be lost: rmw_fastrtps brings
#: none to a server that has not met this client yet. So only ask for what may be done twice.
AGAIN = 0.5


class Asking:
    """One service that is asked one thing at a time."""

    def __init__(self, client: Any, name: str, tell: Callable[[str, bool], None]) -> None:  # noqa: ANN401
        """Remember whom to ask.

        Args:
            client: an rclpy client, or anything with `service_is_ready` and `call_async`; answers have `success`
                and `message`.
            name: of the service.
            tell: is told what came of it, in words, and whether it is good.
        """
        self._client, self._name, self._tell = client, name, tell
        self._request: Any = None
        self._waiting: Any = None
        self._asked_at = self._put_at = 0.0

    @property
    def there(self) -> bool:
        """Whether somebody would answer."""
        return bool(self._client.service_is_ready())

    def ask(self, request: Any, now: float) -> None:  # noqa: ANN401
        """Ask, at a time [s]. Asking again is asking anew, but not while a key repeats."""
        if self._request is not None and now - self._asked_at < AGAIN:
            return
        self._request, self._waiting, self._asked_at = request, None, now
        self._tell(f"{self._name} ...", True)
        self.proceed(now)

    def proceed(self, now: float) -> None:
        """Put the question as soon as somebody is there, and again while nobody answers; call it often."""
        if self._request is None:
            return
        if self._waiting is not None and self._waiting.done():
            answer = self._waiting.result()
            self._end(f"{self._name}: {answer.message or 'done'}", bool(answer.success))
        elif self._waiting is not None and now - self._asked_at > PATIENCE:
            self._end(f"{self._name} did not answer within {PATIENCE:g} s.", False)
        elif self.there and (self._waiting is None or now - self._put_at >= AGAIN):
            self._waiting, self._put_at = self._client.call_async(self._request), now
        elif self._waiting is None and now - self._asked_at > DISCOVERY:
            self._end(f"Nobody answers to {self._name}: is the node running, in this ROS domain?", False)

    def _end(self, words: str, good: bool) -> None:
        self._request = self._waiting = None
        self._tell(words, good)
