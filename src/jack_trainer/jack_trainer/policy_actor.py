"""A policy file that decides for many robots at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime

from jack_brain import policy_file
from jack_brain.policy_file import ACTION, COMMAND, PROPRIOCEPTION
from jack_contract.arrays import Float32
from jack_contract.observation import COMMAND_SIZE
from jack_trainer.tasks.environment import Observation


class PolicyActor:
    """A policy file that decides for many robots at once."""

    def __init__(self, source: bytes | Path, threads: int = 0) -> None:
        """Load a file, or its path, that is known to be fit, to decide on so many threads; 0: one for each core."""
        file = source if isinstance(source, bytes) else source.read_bytes()
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = threads
        # Threads that wait by computing keep the physics, whose turn it is then, from theirs.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        acts = policy_file.part(file, (ACTION,))
        self._session = onnxruntime.InferenceSession(acts, options, providers=["CPUExecutionProvider"])
        self._commanded = COMMAND in {given.name for given in self._session.get_inputs()}

    def __call__(self, observation: Observation) -> Float32:
        """Actions (N, n) for N observations; without a command, he is asked to stand still."""
        feed = {PROPRIOCEPTION: observation.proprioception}
        if self._commanded:
            still = np.zeros((len(observation.proprioception), COMMAND_SIZE), np.float32)
            feed[COMMAND] = still if observation.command is None else observation.command
        return np.asarray(self._session.run([ACTION], feed)[0], np.float32)
