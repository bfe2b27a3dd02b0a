"""Examines policies in a thread of its own, so that the control loop never waits for one. Imports no ROS."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlparse

from jack_brain.policy import Policy, PolicyLimits
from jack_contract.contract import Contract
from jack_contract.errors import JackError, PolicyError


@dataclass(frozen=True)
class Offer:
    """A policy that somebody would like to drive the robot."""

    #: the file, its path, or a file:/// URI
    source: bytes | Path | str
    #: SHA-256 of the file, hexadecimal; empty: not said
    sha256: str = ""


class Examiner:
    """Takes the newest offer, and hands over a policy that is fit or the reason why it is not.

    Attributes:
        refused: how many were refused.
        refusal: why the last one was; empty if none was.
    """

    def __init__(
        self,
        contract: Contract,
        limits: PolicyLimits,
        accept: Callable[[Policy], None],
        refuse: Callable[[str], None],
    ) -> None:
        """Start the thread; `accept` and `refuse` are called in it, or in the thread that calls `examine`."""
        self._contract, self._limits = contract, limits
        self._accept, self._refuse = accept, refuse
        self.refused, self.refusal = 0, ""
        self._examining = threading.Lock()
        self._news = threading.Condition()
        self._offer: Offer | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="examiner", daemon=True)
        self._thread.start()

    def submit(self, offer: Offer) -> None:
        """Have an offer examined soon; one that still waits is forgotten for it."""
        with self._news:
            self._offer = offer
            self._news.notify()

    def examine(self, offer: Offer) -> Policy | str:
        """Examine an offer here and now: the policy that was accepted, or why it was refused."""
        with self._examining:
            try:
                policy = self._load(offer)
            except JackError as error:
                self.refused, self.refusal = self.refused + 1, str(error)
                self._refuse(self.refusal)
                return self.refusal
            self._accept(policy)
            return policy

    def close(self) -> None:
        """End the thread; an examination that is under way is waited for, for a second."""
        with self._news:
            self._closed = True
            self._news.notify()
        self._thread.join(timeout=1.0)

    def _load(self, offer: Offer) -> Policy:
        source = path_of(offer.source) if isinstance(offer.source, str) else offer.source
        policy = Policy.load(source, self._contract, self._limits)
        if offer.sha256 and offer.sha256 != policy.sha256:
            raise PolicyError(
                f"The file's SHA-256 is {policy.sha256[:12]}..., announced was {offer.sha256[:12]}..."
            )
        return policy

    def _work(self) -> None:
        while True:
            with self._news:
                self._news.wait_for(lambda: self._closed or self._offer is not None)
                offer, self._offer = self._offer, None
            if self._closed:
                return
            if offer is not None:
                self.examine(offer)


def path_of(uri: str) -> Path:
    """The path of a file:/// URI on this machine.

    Raises:
        PolicyError: another kind of URI.
    """
    parts = urlparse(uri)
    if parts.scheme != "file" or parts.netloc not in ("", "localhost") or not parts.path:
        raise PolicyError(f"A policy's URI must be file:///..., given: '{uri}'.")
    return Path(unquote(parts.path))
