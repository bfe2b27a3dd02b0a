"""Tables drawn with numpy: coloured shapes on a background, and an expert whose hand goes to the named one."""

import numpy as np

from jack_brain.chunk import chunk_width
from jack_contract.contract import Contract
from jack_contract.instruction import default_tokenizer
from jack_trainer.imitation.scenes import Scenes, scene_layout
from jack_trainer.tasks.instructions import Goal, Skill, sentences

COLOURS = {"red": (0.8, 0.12, 0.1), "green": (0.1, 0.65, 0.2), "blue": (0.1, 0.25, 0.85), "yellow": (0.9, 0.8, 0.1)}
SHAPES = ("cube", "ball", "cylinder")
KINDS = [(colour, shape) for colour in COLOURS for shape in SHAPES]
_Y, _X = np.mgrid[0.5:64, 0.5:64]


def said(contract: Contract, exam: bool = False) -> np.ndarray:
    """All the ways to tell him to touch each kind, ids (kinds, S, L)."""
    tokenizer = default_tokenizer()
    ways = [[tokenizer.read(s).ids for s in sentences(Goal(Skill.TOUCH, *kind), exam)] for kind in KINDS]
    least = min(map(len, ways))
    return np.array([way[:least] for way in ways])


def draw(random: np.random.Generator, kinds: np.ndarray, places: np.ndarray) -> np.ndarray:
    """A picture (3, 64, 64) of some kinds at places (n, 2) [pixel]."""
    picture = np.empty((3, 64, 64))
    picture[:] = random.uniform(0.2, 0.8, (3, 1, 1)) + random.uniform(-0.15, 0.15, (3, 1, 1)) * (_Y / 32 - 1)
    picture[:, random.integers(2, 20) :] = random.uniform(0.3, 0.9, (3, 1, 1))
    for kind, (x, y) in zip(kinds, places, strict=True):
        colour, shape = KINDS[kind]
        half, across, down = 2.3 + y / 40, np.abs(_X - x), np.abs(_Y - y)
        inside = {
            "cube": (across < half) & (down < half),
            "ball": across**2 + down**2 < (1.15 * half) ** 2,
            "cylinder": (across < 0.75 * half) & (down < 1.6 * half),
        }[shape]
        picture[:, inside] = np.array(COLOURS[colour])[:, None] * random.uniform(0.75, 1.1)
    picture = picture * random.uniform(0.7, 1.2) + random.normal(0.0, 0.02, picture.shape)
    return (255 * picture.clip(0.0, 1.0)).astype(np.uint8)


def scenes(contract: Contract, count: int, seed: int, exam: bool = False, length: int = 4) -> Scenes:
    """So many tables, an episode of `length` rows each: a chunk is where the named thing is, in each arm joint."""
    random = np.random.default_rng(seed)
    rows = np.zeros(count * length, scene_layout(contract))
    pictures = np.empty((count, 3, 64, 64), np.uint8)
    for table in range(count):
        kinds = random.choice(len(KINDS), int(random.integers(2, 5)), replace=False)
        places = spread(random, len(kinds))
        pictures[table] = draw(random, kinds, places)
        mine = rows[table * length : (table + 1) * length]
        mine["picture"], mine["goal"], mine["use"] = table, kinds[0], True
        mine["pixel"] = places[0] / 64
        mine["place"][:, :2] = (places[0] - 32) / 100  # 0.6 m across
        mine["row"][:, -1] = 1.0
        mine["row"][:, :2] = (places[0] - 32) / 10
        mine["back"], mine["ahead"] = np.arange(length), length - 1 - np.arange(length)
        mine["done"] = np.arange(length) / length
        mine["frame"] = random.normal(size=(length, contract.observation.frame_size))
    assert rows["row"].shape[1] == chunk_width(contract.robot)
    return Scenes(rows, pictures, said(contract, exam))


def spread(random: np.random.Generator, count: int) -> np.ndarray:
    """Places [pixel] at least 10 from each other."""
    while True:
        places = np.stack((random.uniform(6, 58, count), random.uniform(26, 58, count)), axis=-1)
        if (np.linalg.norm(places[:, None] - places[None], axis=-1) + 99 * np.eye(count)).min() > 10:
            return places
