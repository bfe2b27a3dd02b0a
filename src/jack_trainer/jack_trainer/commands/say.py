"""`./jack say`."""

from __future__ import annotations

from dataclasses import dataclass

from tyro.conf import Positional

from jack_launch.description import NodeSpec
from jack_trainer.commands.become import become


@dataclass(frozen=True)
class Say:
    """Tell the live Jack what to do, and print what he makes of it. Ends with 0 if he follows it."""

    # in words: touch the red cube; '' to let him follow nothing
    sentence: Positional[str]
    # for how long he is waited for [s]
    patience: float = 10.0
    # a pretrained sentence encoder, folder or installed package: what he knows no words for is said in his own
    encoder: str = ""
    # namespace of the robot's nodes
    namespace: str = ""

    def run(self) -> int:
        """Become the node that says it."""
        parameters = {"text": self._in_his_words(), "patience": self.patience}
        return become(NodeSpec("jack_operator", "say_node", "say", self.namespace, parameters))

    def _in_his_words(self) -> str:
        if not self.encoder:
            return self.sentence
        from jack_trainer.paraphrase import Paraphraser, load_encoder

        found = Paraphraser(load_encoder(self.encoder))(self.sentence)
        if found.sentence != self.sentence:
            print(f"He is told: {found.sentence} (alike by {found.likeness:.2f})")
        return found.sentence
