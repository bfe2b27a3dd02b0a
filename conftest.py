"""What the tests of every package share."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

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


class OneInRealTime(LoadScopeScheduling):
    """Shares tests out file by file; those that keep time with real nodes are all one worker's, one by one."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "in real time" if is_in_real_time(self.config.rootpath / file) else file


@cache
def is_in_real_time(file: Path) -> bool:
    """Whether a file of tests starts nodes, or measures how long something takes."""
    text = file.read_text()
    return any(word in text for word in ("mark.ros", "ros_domain", "mark.timed"))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> OneInRealTime:
    """Where tests are shared out, it is done so."""
    return OneInRealTime(config, log)
