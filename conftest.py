"""What the tests of every package share."""

from __future__ import annotations

import contextlib
import random
import socket
from collections.abc import Iterator

import pytest

#: Domain ids for tests; a person's own graphs are mostly below. 101 is the last that is safe on every system.
_DOMAINS = range(20, 102)
#: A domain is taken while somebody listens on this port plus its id, on loopback.
_LOCK_PORT = 43_700


@contextlib.contextmanager
def claimed_domain() -> Iterator[int]:
    """A ROS domain id that no other test on this machine uses meanwhile."""
    for domain in random.sample(_DOMAINS, len(_DOMAINS)):
        with socket.socket() as lock:
            try:
                lock.bind(("127.0.0.1", _LOCK_PORT + domain))
            except OSError:
                continue
            yield domain
            return
    raise RuntimeError("Every ROS domain for tests is in use.")


@contextlib.contextmanager
def domain_in_environment() -> Iterator[int]:
    """A claimed domain for this process and its children, not to be heard outside this machine."""
    with claimed_domain() as domain, pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROS_DOMAIN_ID", str(domain))
        patch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
        patch.delenv("ROS_LOCALHOST_ONLY", raising=False)
        yield domain


@pytest.fixture
def ros_domain() -> Iterator[int]:
    """A ROS domain of the test's own."""
    with domain_in_environment() as domain:
        yield domain


@pytest.fixture(scope="module")
def shared_ros_domain() -> Iterator[int]:
    """A ROS domain for all tests of one file that ask for it."""
    with domain_in_environment() as domain:
        yield domain
