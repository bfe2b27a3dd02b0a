import copy
import math
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from jack_brain.chunk import DARKNESS, ChunkSpec, arm_columns
from jack_brain.network.brain import Brain, Inputs
from jack_brain.network.chunk_heads import DEEDS
from jack_contract.contract import default_contract
from jack_contract.errors import JackError
from jack_trainer.device import device_named
from jack_trainer.imitation.augment import AugmentConfig, augment
from jack_trainer.imitation.prefetch import Prefetch
from jack_trainer.imitation.scenes import SceneSamples, map_scenes, opposites
from jack_trainer.imitation.seeing import Seeing, SeeingConfig
from jack_trainer.imitation.seeing_loss import spread_over
from jack_trainer.imitation.withholding import at_rest
from jack_trainer.learner import LearningError
from jack_trainer.tasks.instructions import Goal, Skill, goals

sys.path.insert(0, str(Path(__file__).parent))
from sample_scenes import draw, said, scenes, spread

CONTRACT = default_contract()
QUICK = SeeingConfig(batch=16, steps=3, rehearsed=0, body_from=0.5)


@pytest.fixture(scope="module")
def tables():
    return scenes(CONTRACT, 40, seed=0)


def brain(kind: str = "squared") -> Brain:
    torch.manual_seed(0)
    return Brain(CONTRACT, chunk=ChunkSpec(kind, 8))


@pytest.fixture
def learn(tables):
    made = []

    def make(config=QUICK, **options) -> Seeing:
        made.append(Seeing(brain(), [tables], config, seed=1, threads=2, **options))
        return made[-1]

    yield make
    for learner in made:
        learner.close()


# -- scenes


def test_a_batch_is_what_was_seen_said_and_done(tables):
    samples = SceneSamples([tables, tables], history=8, length=3)
    assert len(samples) == 320
    batch = samples.take(np.array([161, 5, 7]), np.random.default_rng(0))  # in order: 5, 7, then 161 of the second
    rows = tables.rows
    assert np.array_equal(batch.image, tables.pictures[[1, 1, 0]])
    assert np.array_equal(batch.place, rows["place"][[5, 7, 1]])
    assert np.array_equal(batch.chunk[0], rows["row"][[5, 6, 7]])
    assert np.array_equal(batch.chunk[1], rows["row"][[7, 7, 7]])  # the last of its episode stays
    frames = rows["frame"][[4, 4, 4, 4, 4, 4, 4, 5]]
    assert np.array_equal(batch.proprioception[0], frames)
    sentences = tables.sentences[rows["goal"][5]]
    assert any(np.array_equal(batch.instruction[0], sentence) for sentence in sentences)


def test_each_time_another_of_the_sentences_for_a_goal_may_be_said(tables):
    samples = SceneSamples([tables], history=8, length=2)
    found = samples.take(np.full(200, 3), np.random.default_rng(0)).instruction
    assert len(np.unique(found, axis=0)) > 10


def test_a_goal_is_a_kind_of_deed(tables):
    rows, every = tables.rows.copy(), list(goals())
    told = [Goal(Skill.PUSH_LEFT, "red", "cube"), Goal(Skill.WAVE), Goal(Skill.TOUCH, "blue", "ball")]
    rows["goal"][:3] = [every.index(goal) for goal in told]
    sentences = np.repeat(tables.sentences[:1], len(every), axis=0)
    batch = SceneSamples([replace(tables, rows=rows, sentences=sentences)], 8, 3).take(
        np.arange(3), np.random.default_rng(0)
    )
    assert [list(Skill)[number] for number in batch.deed] == [goal.skill for goal in told]
    assert len(Skill) <= DEEDS


def test_the_other_side_is_another_goal_of_pushes_only():
    every, other = list(goals()), opposites()
    for index, goal in enumerate(every):
        pushes = goal.skill in (Skill.PUSH_LEFT, Skill.PUSH_RIGHT)
        assert (other[index] != index) == pushes and other[other[index]] == index
        assert every[other[index]].kind == goal.kind
    left = every.index(Goal(Skill.PUSH_LEFT, "red", "cube"))
    assert every[other[left]] == Goal(Skill.PUSH_RIGHT, "red", "cube")


def test_the_same_samples_may_be_told_something_else(tables):
    samples, ids = SceneSamples([tables], history=8, length=3), np.arange(20)
    own = samples.take(ids, np.random.default_rng(0))
    other = samples.take(ids, np.random.default_rng(0), np.roll(np.arange(len(tables.sentences)), 1))
    assert np.array_equal(own.image, other.image) and np.array_equal(own.chunk, other.chunk)
    assert not (own.instruction == other.instruction).all(axis=1).any()


def test_who_listens_errs_less_when_he_is_told_the_side_that_it_is(learn, monkeypatch):
    every = list(goals())
    left, right = (every.index(Goal(skill, "red", "cube")) for skill in (Skill.PUSH_LEFT, Skill.PUSH_RIGHT))
    pushed = scenes(CONTRACT, 8, seed=3)
    rows = pushed.rows.copy()
    rows["goal"] = np.where(np.arange(len(rows)) % 2, left, right)
    said = np.zeros((len(every), 2, CONTRACT.instruction.length), np.int64)
    said[:, :, 0] = np.arange(len(every))[:, None]
    learner = learn(held_out=[replace(pushed, rows=rows, sentences=said)])

    def errors(batch, instruction, image):
        """Told left he errs by 1 and told right by 2, whatever it is: he fits one half of the samples."""
        told = torch.from_numpy(batch.instruction[:, 0])
        return torch.where(told == left, 1.0, 2.0), torch.zeros(len(told))

    monkeypatch.setattr(learner, "_errors", errors)
    assert learner.look()["held_out_listens"] == pytest.approx(0.5)
    assert "held_out_listens" not in learn(held_out=[scenes(CONTRACT, 4, seed=4)]).look()


def test_scenes_go_through_files_and_spoilt_ones_are_named(tables, tmp_path):
    tables.save(tmp_path)
    read = map_scenes(tmp_path, CONTRACT)
    assert np.array_equal(read.rows, tables.rows) and np.array_equal(read.pictures, tables.pictures)
    assert isinstance(read.pictures, np.memmap)
    wrong = replace(tables, rows=tables.rows.copy())
    wrong.rows["picture"][3] = 40
    wrong.save(tmp_path)
    with pytest.raises(JackError, match="picture beyond the 40"):
        map_scenes(tmp_path, CONTRACT)
    data = bytearray((tmp_path / "rows.npy").read_bytes())
    data[-40] ^= 1
    (tmp_path / "rows.npy").write_bytes(data)
    with pytest.raises(JackError, match="spoilt"):
        map_scenes(tmp_path, CONTRACT)
    replace(tables, sentences=tables.sentences + 512).save(tmp_path)
    with pytest.raises(JackError, match="token ids beyond"):
        map_scenes(tmp_path, CONTRACT)
    replace(tables, pictures=tables.pictures[..., :63]).save(tmp_path)
    with pytest.raises(JackError, match="has uint8 of shape"):
        map_scenes(tmp_path, CONTRACT)


# -- pictures


def test_no_change_is_no_change_and_each_picture_is_changed_in_its_own_way():
    pictures = torch.randint(0, 256, (6, 3, 64, 64), dtype=torch.uint8)
    nothing = AugmentConfig(shift=0, brightness=0.0, contrast=1.0, hue=0.0, noise=0.0)
    generator = torch.Generator().manual_seed(0)
    torch.testing.assert_close(augment(pictures, nothing, generator), pictures / 255.0, atol=1e-5, rtol=0)
    same = pictures[:1].expand(6, -1, -1, -1)
    changed = augment(same, AugmentConfig(shift=0, noise=0.0), generator)
    assert changed.min() >= 0 and changed.max() <= 1
    assert all(not torch.allclose(changed[0], other, atol=1e-3) for other in changed[1:])
    assert (changed - same / 255.0).abs().mean() < 0.2


def test_a_shift_moves_all_of_a_picture_and_repeats_its_edge():
    picture = torch.arange(64, dtype=torch.uint8).expand(200, 3, 64, 64).contiguous()
    only = AugmentConfig(shift=2, brightness=0.0, contrast=1.0, hue=0.0, noise=0.0)
    moved = (255 * augment(picture, only, torch.Generator().manual_seed(0))).round().int()
    assert set(moved[:, 0, 0, 30].tolist()) == {28, 29, 30, 31, 32}
    assert set(moved[:, 0, 0, 0].tolist()) == {0, 1, 2}  # from the left there comes nothing but the edge


def test_a_turn_of_the_colours_leaves_grey_and_brightness_alone():
    grey = torch.full((4, 3, 8, 8), 100, dtype=torch.uint8)
    hue = AugmentConfig(shift=0, brightness=0.0, contrast=1.0, hue=0.5, noise=0.0)
    generator = torch.Generator().manual_seed(0)
    torch.testing.assert_close(augment(grey, hue, generator), grey / 255.0, atol=1e-5, rtol=0)
    red = torch.tensor([180, 90, 90], dtype=torch.uint8)[None, :, None, None].expand(4, 3, 8, 8)
    turned = augment(red, hue, generator)
    torch.testing.assert_close(turned.sum(1), torch.full((4, 8, 8), 360 / 255), atol=1e-4, rtol=0)
    assert (turned - red / 255.0).abs().max() > 0.05


# -- batches that lie ready


def test_a_batch_that_lies_ready_is_not_waited_for_and_one_that_does_not_is():
    ready = Prefetch(lambda number: number)
    time.sleep(0.1)
    assert [ready.take() for _ in range(3)] == [0, 1, 2] and ready.waited < 0.02
    ready.close()
    slow = Prefetch(lambda number: time.sleep(0.05) or number, first=7)
    assert slow.take() == 7 and slow.waited > 0.03
    slow.close()


def test_what_goes_wrong_while_a_batch_is_made_is_raised_where_it_is_taken():
    broken = Prefetch(lambda number: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        broken.take()
    broken.close()


def test_batches_come_in_order_however_many_threads_make_them():
    """Of two threads one sleeps over every even batch."""
    ready = Prefetch(lambda number: time.sleep(0.02 * (number % 2 == 0)) or number, threads=2)
    assert [ready.take() for _ in range(20)] == list(range(20))
    ready.close()


# -- learning


def test_where_a_thing_is_becomes_weights_of_four_patches():
    """At 3/8 across and 1/2 down a grid of 4 x 4: the middle of the second column, between two rows."""
    weights = spread_over(torch.tensor([[3 / 8, 1 / 2]]), (4, 4)).view(4, 4)
    expected = torch.zeros(4, 4)
    expected[1, 1] = expected[2, 1] = 0.5
    torch.testing.assert_close(weights, expected)
    for corner in ([0.0, 0.0], [1.0, 1.0], [0.3, 0.99]):
        assert spread_over(torch.tensor([corner]), (8, 8)).sum() == pytest.approx(1.0)


def test_learning_makes_the_loss_small(learn):
    learner = learn(replace(QUICK, batch=32, steps=10, rate=5e-3, blind=0.0, deaf=0.0, augment=None))
    first = learner.iterate()
    for _ in range(11):
        last = learner.iterate()
    assert last["chunk"] < 0.85 * first["chunk"] and last["attention"] < first["attention"]
    assert last["deed"] < 0.1 < first["deed"]  # all are told to touch
    assert last["samples_per_second"] > 0 and 0 <= last["waited_share"] < 1
    assert learner.samples == 320


def test_two_halves_are_bit_for_bit_the_whole(learn):
    whole, first = learn(), learn()
    for _ in range(4):
        whole.iterate()
    for _ in range(2):
        first.iterate()
    second = learn()
    second.restore({name: tensor.clone() for name, tensor in first.tensors().items()}, first.numbers())
    for _ in range(2):
        second.iterate()
    expected, found = whole.tensors(), second.tensors()
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_what_it_was_not_is_not_gone_on_with(learn, tables):
    first = learn()
    first.iterate()
    other = Seeing(brain(), [tables], QUICK, seed=2)
    with pytest.raises(JackError, match="another seed"):
        other.restore(first.tensors(), first.numbers())
    other.close()


def test_until_it_is_its_turn_what_walks_does_not_change_by_a_bit(learn):
    learner = learn()
    before = {name: tensor.clone() for name, tensor in learner.brain.state_dict().items()}
    learner.iterate()
    after = learner.brain.state_dict()
    walks = [
        n for n in before if n.startswith(("trunk.", "proprioception.", "action_head.", "value_head.", "command."))
    ]
    assert walks and all(torch.equal(before[name], after[name]) for name in walks)
    for part in ("chunk_head.out.weight", "image.stem.0.weight", "pointer.query.weight", "instruction.positions"):
        assert not torch.equal(before[part], after[part])
    learner.progress = 0.6
    learner.iterate()
    assert not torch.equal(
        before["trunk.layers.0.up.weight"], learner.brain.state_dict()["trunk.layers.0.up.weight"]
    )


def test_eyes_that_can_see_already_wait_for_their_turn(learn):
    learner = learn(replace(QUICK, eyes_from=0.3))
    before = learner.brain.image.stem[0].weight.clone()
    learner.iterate()
    assert torch.equal(learner.brain.image.stem[0].weight, before)
    learner.progress = 0.4
    learner.iterate()
    assert not torch.equal(learner.brain.image.stem[0].weight, before)


def test_rehearsal_keeps_what_the_legs_did(tables):
    """The whole body learns, at a great pace, with and without: how far do the actions of who stands there move?"""
    frames = SceneSamples([tables], 8, 2).take(np.arange(64), np.random.default_rng(0)).proprioception
    moved, before = {}, brain()
    with torch.no_grad():
        before.action_head.linear.weight.mul_(100.0)  # somebody who has learnt to move
    for weight in (0.0, 10.0):
        config = replace(QUICK, body_from=0.0, body_rate=1.0, steps=20, rehearsal=weight)
        learner = Seeing(copy.deepcopy(before), [tables], config, seed=1, threads=2)
        for _ in range(3):
            learner.iterate()
        frames[..., arm_columns(CONTRACT)] = 0.0
        given = Inputs(torch.from_numpy(frames), torch.zeros(64, 3))
        with torch.no_grad():
            moved[weight] = float((learner.brain(given).mean - before(given).mean).square().mean())
        for name, weight in learner.brain.named_parameters():
            if name.startswith(("action_head.linear", "value_head")):
                assert torch.equal(weight, before.get_parameter(name)), name
        learner.close()
    assert moved[10.0] < 0.2 * moved[0.0]


def test_pictures_and_sentences_are_withheld_as_often_as_asked_each_on_its_own(learn):
    learner = learn(replace(QUICK, batch=400, blind=0.25, deaf=0.5, still=0.3, augment=None))
    batch = learner._make(0)
    blind = (batch.seen["image"] == DARKNESS / 255.0).flatten(1).all(1)
    deaf = (batch.seen["instruction"] == 0).all(1)
    assert 0.18 < blind.float().mean() < 0.32 and 0.42 < deaf.float().mean() < 0.58
    assert torch.equal(batch.whole, ~(blind | deaf))
    assert 0.06 < (blind & deaf).float().mean() < 0.19
    assert 0.22 < batch.still.float().mean() < 0.38


def test_a_body_at_rest_has_been_where_it_is_all_the_while():
    frames = torch.arange(12.0).view(1, 3, 4)
    rested = at_rest(frames, slice(1, 3))
    assert rested.tolist() == [[[8.0, 0.0, 0.0, 11.0]] * 3]
    assert frames[0, 2].tolist() == [8.0, 9.0, 10.0, 11.0]


def test_legs_are_rehearsed_with_what_they_felt_and_chunks_learnt_at_rest(learn, monkeypatch):
    """Of a body that is always shown at rest no chunk depends on how it moved; what is rehearsed does."""
    learner = learn(replace(QUICK, still=1.0, body_from=0.0))
    seen = []
    monkeypatch.setattr(
        learner.brain,
        "reach",
        lambda frames, past, reach=learner.brain.reach: seen.append(frames) or reach(frames, past),
    )
    objective = learner._objective
    monkeypatch.setattr(
        objective,
        "_rehearsal",
        lambda frames, *rest, rehearse=objective._rehearsal: seen.append(frames) or rehearse(frames, *rest),
    )
    batch = learner._make(0)
    batch.seen["proprioception"].normal_()
    objective(batch, torch.arange(16), 0, 1, rehearses=True)
    shown, felt = seen
    assert torch.equal(felt, batch.seen["proprioception"])
    assert torch.equal(shown, at_rest(felt, CONTRACT.observation.slices()["joint_velocity"]))


def test_a_loss_that_is_no_number_changes_no_weight(learn):
    learner = learn()
    with torch.no_grad():
        learner.brain.chunk_head.out.bias[0] = math.nan
    before = {name: tensor.clone() for name, tensor in learner.brain.state_dict().items()}
    with pytest.raises(LearningError, match="chunk nan"):
        learner.iterate()
    assert all(
        torch.equal(before[n], t) for n, t in learner.brain.state_dict().items() if "chunk_head.out" not in n
    )


def test_who_makes_no_chunks_or_has_nothing_to_learn_from_is_told(tables):
    with pytest.raises(JackError, match="ChunkSpec"):
        Seeing(Brain(CONTRACT), [tables], QUICK, seed=0)
    nothing = replace(tables, rows=tables.rows.copy())
    nothing.rows["use"] = False
    with pytest.raises(JackError, match="no sample"):
        Seeing(brain(), [nothing], QUICK, seed=0)


@pytest.mark.soak
def test_he_finds_what_is_named_and_another_sentence_moves_his_hand():
    """Some minutes on one core: held-out tables and phrasings, and of each table everything that is on it named."""
    taught = scenes(CONTRACT, 6000, seed=1, length=1)
    learner = Seeing(brain(), [taught], SeeingConfig(batch=96, steps=25, rate=2e-3, rehearsed=0), seed=0, threads=1)
    for iterate in range(80):
        learner.progress = iterate / 80
        learner.iterate()
    learner.close()
    random, sentences = np.random.default_rng(77), said(CONTRACT, exam=True)
    right = []
    for _ in range(100):
        kinds = random.choice(12, 3, replace=False)
        places = spread(random, 3)
        picture = torch.from_numpy(draw(random, kinds, places))[None]
        for kind in range(3):
            ids = torch.from_numpy(sentences[kinds[kind], [0]])
            with torch.no_grad():
                past = learner.average.prefix(ids, picture)
                features = learner.average.reach(torch.zeros(1, 8, CONTRACT.observation.frame_size), past)
                told = 10 * learner.average.chunk_head(features)[0][0, 0, :2].numpy() + 32
            right.append(np.linalg.norm(places - told, axis=1).argmin() == kind)
    assert np.mean(right) > 0.9


# -- elsewhere


def test_a_graphics_card_that_is_not_there_is_refused_with_what_is(tables, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(JackError, match=r"finds no graphics card here.*Allowed here: cpu, auto"):
        Seeing(brain(), [tables], QUICK, seed=0, device="cuda")
    assert device_named("auto") == device_named("cpu") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert device_named("auto") == device_named("cuda") == torch.device("cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a graphics card, and a CUDA build of torch")
@pytest.mark.parametrize("kind", ["squared", "flow", "tokens"])
def test_on_a_graphics_card_the_same_is_learnt_and_kept_beside_the_processor(tables, kind):
    there, here = (
        Seeing(brain(kind), [tables], replace(QUICK, augment=None, blind=0.0, deaf=0.0), 1, [tables], device=device)
        for device in ("cuda", "cpu")
    )
    first, second = there.iterate(), here.iterate()
    assert first["place"] == pytest.approx(second["place"], rel=1e-3)
    assert {tensor.device.type for tensor in there.average.state_dict().values()} == {"cpu"}
    other = Seeing(brain(kind), [tables], QUICK, 1, [tables], device="cuda")
    other.restore({name: tensor.cpu() for name, tensor in there.tensors().items()}, there.numbers())
    for learner in (there, here, other):
        learner.close()


def test_what_robots_get_is_the_average_of_what_was_learnt(learn):
    learner = learn()
    before = {name: tensor.clone() for name, tensor in learner.average.state_dict().items()}
    learner.iterate()
    after = learner.average.state_dict()
    assert any(not torch.equal(before[name], after[name]) for name in before)
    learner.restore(learner.tensors(), learner.numbers())
    for name, tensor in learner.average.state_dict().items():
        assert torch.equal(tensor, after[name])
