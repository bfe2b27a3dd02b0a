"""The service ~/load_policy, in a thread of its own: its answer takes as long as the examination.

Callbacks of one executor run one after the other, and those of the brain must not wait for a file. So the service
belongs to a node of its own; its name starts with an underscore, which hides it from `ros2 node list`.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path

from jack_msgs.srv import LoadPolicy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node

from jack_brain.examiner import Examiner, Offer


class LoaderNode(Node):
    """Serves one brain."""

    def __init__(self, brain: Node, examiner: Examiner) -> None:
        """Serve `load_policy` under the brain's name, until `close`."""
        name = brain.get_name()
        super().__init__(
            f"_{name}_loader",
            namespace=brain.get_namespace(),
            use_global_arguments=False,
            start_parameter_services=False,
            enable_rosout=False,
        )
        self._examiner = examiner
        self.create_service(LoadPolicy, f"{name}/load_policy", self._on_load)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self)
        self._thread = threading.Thread(target=self._spin, name="loader", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the service."""
        self._executor.shutdown(timeout_sec=1.0)
        self._thread.join(timeout=1.0)
        self.destroy_node()

    def _spin(self) -> None:
        with suppress(ExternalShutdownException):  # the process ends
            self._executor.spin()

    def _on_load(self, request: LoadPolicy.Request, response: LoadPolicy.Response) -> LoadPolicy.Response:
        result = self._examiner.examine(Offer(Path(request.path)))
        response.success = not isinstance(result, str)
        response.message = result if isinstance(result, str) else f"Policy {result.sha256} is fit: see brain/status"
        return response
