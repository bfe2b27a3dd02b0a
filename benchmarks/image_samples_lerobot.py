"""LeRobot's side of image_samples.py: runs in an environment that has LeRobot, and needs nothing of Jack.

For each number of seconds on its input it loads batches for so long, and prints how many pictures a second came.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import torch
from lerobot.datasets.lerobot_dataset import LeRobotDataset  # pyright: ignore[reportMissingImports]


def main() -> None:
    """Answer until the input ends."""
    root, *numbers = sys.argv[1:]
    batch, height, width, workers = (int(number) for number in numbers)
    torch.set_num_threads(1)
    data = LeRobotDataset("jack/benchmark", root=Path(root))
    (camera,) = data.meta.camera_keys
    loader = torch.utils.data.DataLoader(
        data, batch_size=batch, shuffle=True, drop_last=True, num_workers=workers, persistent_workers=workers > 0
    )
    print("ready", flush=True)
    for line in sys.stdin:
        seconds, begun, done = float(line), time.perf_counter(), 0
        while time.perf_counter() - begun < seconds:
            for item in loader:
                pictures = torch.nn.functional.interpolate(item[camera], (height, width), mode="area")
                done += len(pictures)
                if time.perf_counter() - begun >= seconds:
                    break
        print(done / (time.perf_counter() - begun), flush=True)


if __name__ == "__main__":
    main()
