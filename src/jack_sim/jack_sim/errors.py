"""What can go wrong in the simulator, explained."""

from jack_contract.errors import JackError


class CameraError(JackError):
    """The head camera cannot render here; physics can go on without it."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"The camera cannot render: {reason}. Headless rendering needs EGL (Debian and Ubuntu: apt-get install "
            "libegl1 libgl1 libgles2 libgl1-mesa-dri); MUJOCO_GL=osmesa is the other way."
        )


class SimulationError(JackError):
    """Physics left the realm of finite numbers; reset the world."""
