"""Set Jack up: `./jack` calls this when anything that set-up depends on has changed.

Every step looks at what is there and does what is missing, so a set-up that was killed is finished by the next
call. The last thing written is `.jack/ready`; while it holds the key that `./jack` computes, `./jack` does not
come here.
Standard library only: this is what runs before anything is installed.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
from pathlib import Path

from checkout import Checkout, only_one, write_whole
from packages import environment_is_whole, fill_environment, make_environment
from preflight import (
    check_disk,
    check_machine,
    check_place,
    find_python,
    probe,
    provide_system_packages,
    system_needs,
)
from progress import Progress, SetupError, child_environment, run, tail
from ros import Ros, find_ros, mend_cmake_paths, render, variables


def find_packages(checkout: Checkout, ros: Ros) -> dict[str, Path]:
    """Every ROS 2 package to build, `{name: folder}`.

    Those of `underlay/` stand in for what the wheels do not have, and are left out where ROS 2 has them.
    """
    manifests = [
        path
        for pattern in ("src/*", "launch", "underlay/*")
        for path in checkout.root.glob(pattern + "/package.xml")
    ]
    names = {path: re.search(r"<name>\s*(\S+?)\s*</name>", path.read_text()) for path in manifests}
    found = {name[1]: path.parent for path, name in names.items() if name}
    share = (ros.prefix or checkout.venv) / "share"
    return {name: path for name, path in found.items() if not (share / name / "package.xml").is_file()}


def build(checkout: Checkout, ros: Ros, progress: Progress) -> None:
    """Build the workspace with colcon into `.jack/install`, Python packages linked to their sources.

    Raises:
        SetupError: a package does not build; the message has the end of colcon's output.
    """
    packages = find_packages(checkout, ros)
    running = checkout.state / "building"
    if running.exists():  # the last build was cut off: what it left is not to be trusted
        shutil.rmtree(checkout.state / "build", ignore_errors=True)
        shutil.rmtree(checkout.state / "install", ignore_errors=True)
    if not packages:
        return
    running.touch()
    for old in (path for path in (checkout.state / "install").glob("*/") if path.name not in packages):
        shutil.rmtree(old)  # a package that was renamed or removed

    at_work: list[str] = []
    finished: list[str] = []

    def read(line: str) -> None:
        if found := re.match(r"(Starting >>>|Finished <<<) (\S+)", line):
            if found[1].startswith("Starting"):
                at_work.append(found[2])
            else:
                at_work.remove(found[2])
                finished.append(found[2])
            progress.note(f"{len(finished)}/{len(packages)} built, now {', '.join(at_work) or 'the next'}")

    log = checkout.log("build")
    argv = [checkout.python, *checkout.colcon, "--log-base", checkout.state / "log" / "colcon", "build"]
    argv += [
        "--base-paths",
        *sorted(packages.values()),
        "--metas",
        checkout.root / "colcon.meta",
        "--symlink-install",
    ]
    argv += ["--build-base", checkout.state / "build", "--install-base", checkout.state / "install"]
    argv += ["--cmake-args", "-GNinja", f"-DPython3_EXECUTABLE={checkout.python}"]
    if run(argv, log, child_environment(**variables(checkout, ros)), read) != 0:
        raise SetupError(f"colcon could not build the workspace; its log is {log} and ends:\n{tail(log, 40)}")
    running.unlink()


def write_environment(checkout: Checkout, ros: Ros) -> None:
    """Write `.jack/env.sh`, so that no later start has to source the workspace through colcon."""
    scripts = [checkout.state / "install" / "local_setup.bash"]
    found = variables(checkout, ros, [script for script in scripts if script.exists()])
    write_whole(checkout.state / "env.sh", render(found, checkout.root))


def install(checkout: Checkout, key: str, system: bool, torch_index: str) -> None:
    """Do what is missing, in order; at the end `.jack/ready` holds `key`.

    Args:
        checkout: The clone to set up.
        key: What `./jack` computed from everything that set-up depends on.
        system: Whether apt-get may be used.
        torch_index: The package index that torch is taken from; empty for the usual ones.

    Raises:
        SetupError: something is missing that a person has to provide.
    """
    check_place(checkout)
    ros = find_ros(os.environ)
    check_machine(ros)
    checkout.state.mkdir(exist_ok=True)
    ready = checkout.state / "ready"
    progress = Progress(total=5)
    with only_one(checkout.state / "lock", progress.say):
        if ready.exists() and ready.read_text().strip() == key and checkout.python.exists():
            return  # the set-up that was waited for did it
        check_disk(checkout, torch_index)
        whole = environment_is_whole(checkout, ros)
        python = (probe(str(checkout.python)) if whole else None) or find_python(ros)
        ready.unlink(missing_ok=True)
        source = f"ROS 2 from {ros.prefix or 'PyPI'}"
        with progress.step("system packages"):
            provide_system_packages(checkout, system_needs(python, ros), system, progress)
        with progress.step(f"Python {python.version} environment"):
            if not whole:
                make_environment(checkout, python, ros)
        with progress.step(f"Python packages, {source}"):
            fill_environment(checkout, ros, torch_index, progress)
            if ros.prefix is None:
                mend_cmake_paths(checkout)
        with progress.step("ROS 2 workspace"):
            build(checkout, ros, progress)
        with progress.step("environment file"):
            write_environment(checkout, ros)
        write_whole(ready, key + "\n")


def main() -> int:
    """Read the command line and set up; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--key", required=True, help="written to .jack/ready at the end")
    parser.add_argument("--no-system", action="store_true", help="never call apt-get")
    options = parser.parse_args()
    checkout = Checkout(Path(__file__).resolve().parents[1])
    try:
        install(checkout, options.key, not options.no_system, os.environ.get("JACK_TORCH_INDEX", ""))
    except (SetupError, OSError) as error:
        print(f"jack: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\njack: stopped; the next ./jack goes on from here.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
