"""What the tests of every package share."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from jack_contract.testing import ros_domain as jack_domain


@contextlib.contextmanager
def domain_in_environment() -> Iterator[int]:
    """A claimed domain for this process and its children, not to be heard outside this machine."""
    with jack_domain() as domain, pytest.MonkeyPatch.context() as patch:
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
