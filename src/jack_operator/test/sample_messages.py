"""Messages without ROS, for the tests of what reads them."""

from types import SimpleNamespace


def quaternion(x=0.0, y=0.0, z=0.0, w=1.0):
    return SimpleNamespace(x=x, y=y, z=z, w=w)


def vector(x=0.0, y=0.0, z=0.0):
    return SimpleNamespace(x=x, y=y, z=z)


def joints(**positions):
    return SimpleNamespace(name=list(positions), position=list(positions.values()))


def imu(**orientation):
    return SimpleNamespace(orientation=quaternion(**orientation))


def twist(x=0.0, y=0.0, turn=0.0):
    return SimpleNamespace(linear=vector(x, y), angular=vector(z=turn))


def odometry(position=(0.0, 0.0, 0.0), orientation=None, velocity=(0.0, 0.0, 0.0), turn=(0.0, 0.0, 0.0)):
    return SimpleNamespace(
        pose=SimpleNamespace(
            pose=SimpleNamespace(position=vector(*position), orientation=orientation or quaternion())
        ),
        twist=SimpleNamespace(twist=SimpleNamespace(linear=vector(*velocity), angular=vector(*turn))),
    )


def brain(**change):
    given = {
        "state": 3,
        "policy": "ab" * 32,
        "phase": "walk",
        "step": 4_000_000,
        "swaps": 2,
        "rollbacks": 0,
        "refused": 1,
        "refusal": "",
        "shadow": "",
        "shadow_time": 0.0,
        "shadow_report": "",
        "fault": "",
        "value": 41.5,
        "latency": 0.0004,
        "latency_max": 0.002,
        "ticks": 1000,
        "missed": 3,
    }
    return SimpleNamespace(**(given | change))


def driver(**change):
    return SimpleNamespace(
        **({"state": 1, "fault": "", "publishers": 1, "passed": 1000, "ignored": 0, "refused": 2} | change)
    )
