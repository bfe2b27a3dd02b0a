"""Graphs to be tested: processes in a ROS domain of their own, and a policy to drive them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

#: A policy that has learnt nothing: it asks for the default pose, more or less, on which Jack can stand.
UNTRAINED = {"phase": "stand", "step": 0, "seed": 0}


@pytest.fixture(scope="session")
def policies(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two policy files that differ in nothing but the steps they claim to have learnt from."""
    import torch

    from jack_brain.network.brain import Brain
    from jack_brain.network.export import PolicyExporter
    from jack_contract.contract import default_contract

    torch.manual_seed(0)
    brain = Brain(default_contract())
    with torch.no_grad():
        brain.action_head.linear.weight.mul_(0.01)
    exporter, folder = PolicyExporter(brain, command=True), tmp_path_factory.mktemp("policies")
    paths = folder / "first.onnx", folder / "second.onnx"
    for step, path in enumerate(paths, start=1):
        path.write_bytes(exporter.export(UNTRAINED | {"step": step}))
    return paths


@pytest.fixture
def nodes_alive(ros_domain: int) -> Iterator[Callable[[], list[str]]]:
    """Who lives in the test's domain: command lines. At the end nobody may."""
    yield lambda: in_domain(ros_domain)
    assert in_domain(ros_domain) == []


def in_domain(domain: int) -> list[str]:
    """The command lines of all other processes in a ROS domain."""
    return [command for pid in Path("/proc").glob("[0-9]*") if (command := _command(pid, domain))]


def _command(process: Path, domain: int) -> str:
    """The command line of a process if it is another one in the domain, else nothing."""
    try:
        environment = (process / "environ").read_bytes().split(b"\0")
        command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    except OSError:  # gone meanwhile, or a stranger's
        return ""
    ours = f"ROS_DOMAIN_ID={domain}".encode() in environment and int(process.name) != os.getpid()
    return command if ours else ""
