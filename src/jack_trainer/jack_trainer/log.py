"""A training's curves, for TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Self

from torch.utils.tensorboard import SummaryWriter


class Log:
    """Curves in the folder `tensorboard` of a run. Use it as a context.

    A disk that takes no curve stops no training: the next checkpoint will say what is wrong with it.
    """

    def __init__(self, run: Path, purge_step: int | None = None) -> None:
        """Begin to write; what an earlier session has written from `purge_step` on is void."""
        self._writer: SummaryWriter | None = None
        with suppress(OSError):
            self._writer = SummaryWriter(run / "tensorboard", purge_step=purge_step)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            with suppress(OSError):
                self._writer.close()

    def add(self, step: int, values: Mapping[str, float], family: str = "") -> None:
        """Append a point to each curve of a family, by name, at so many environment steps."""
        if self._writer is None:
            return
        try:
            for name, value in values.items():
                self._writer.add_scalar(f"{family}/{name}" if family else name, value, step)
        except OSError:  # the writer's thread has ended with the first of them
            self._writer = None
