"""The process of one of the robot's nodes: from its first parameter to its last word."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

import rclpy
from rclpy.exceptions import ParameterException
from rclpy.executors import Executor, ExternalShutdownException
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import try_shutdown

from jack_contract.errors import JackError


def run(name: str, make: Callable[[], Any], executor_for: Callable[[Any], Executor]) -> int:
    """Run a node until it is told to end; returns the exit code.

    Args:
        name: of the node, in what is said when it cannot be made.
        make: makes it: a lifecycle node with `parameters.autostart`, `start`, and `close` for its last word.
        executor_for: makes what runs its callbacks.
    """
    ending = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):  # ours: rclpy's would raise in the middle of a callback
        signal.signal(number, lambda *_: ending.set())
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node: Any = None
    try:
        node = make()
        executor = executor_for(node)
        executor.add_node(node)
        if node.parameters.autostart and not node.start():
            return 1
        while not ending.is_set():  # spin() without a time-out burns a core (rclpy 7.1)
            executor.spin_once(timeout_sec=0.2)
    except ExternalShutdownException:
        pass
    except (JackError, ParameterException) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    finally:
        if node is not None:
            node.close()
        try_shutdown()
    return 0
