"""Where a network learns that is worth a graphics card: on one, where there is one."""

from __future__ import annotations

import torch

from jack_contract.errors import JackError
from jack_trainer.training import AUTO


def device_named(name: str) -> torch.device:
    """The device of a name: cpu, cuda, or auto, which is cuda where there is one.

    Raises:
        JackError: cuda is asked for, and this torch finds none.
    """
    there = torch.cuda.is_available()
    if name == "cuda" and not there:
        raise JackError(
            f"device is 'cuda', but torch {torch.__version__} finds no graphics card here; it takes a CUDA build "
            f"of torch and NVIDIA's driver. Allowed here: cpu, auto."
        )
    return torch.device("cuda" if name == "cuda" or (name == AUTO and there) else "cpu")
