from jack_contract.robot import load_robot
from jack_sim.generate import Options, generated_files, main
from jack_sim.robot_model import robot_spec
from jack_sim.scene import TRAINING, load_model


def test_the_committed_files_are_what_the_generator_writes():
    for path, text in generated_files(Options()).items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name} is old: python -m jack_sim.generate"


def test_the_contract_s_robot_is_the_model_s():
    assert load_robot("jack") == robot_spec(load_model(TRAINING))


def test_generating_writes_whole_files_and_leaves_nothing_else(tmp_path):
    options = Options(robots=tmp_path / "robots", models=tmp_path / "models", control_period=0.01)
    options.robots.mkdir()
    options.models.mkdir()
    main(options)
    assert [p.name for p in options.robots.iterdir()] == ["jack.yaml"]
    assert [p.name for p in options.models.iterdir()] == ["jack.urdf"]
    assert load_robot(str(options.robots / "jack.yaml")) == robot_spec(load_model(TRAINING), 0.01)
