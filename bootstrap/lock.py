"""Write `requirements.lock` anew from `requirements.in`.

    python3 bootstrap/lock.py python3.11 python3.12

Each interpreter named resolves the requirements in a throwaway environment (nothing is installed into it but pip).
The lock keeps one line a package; where two Pythons need different versions, each line says for which it is.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from lockfile import canonical, sections

HERE = Path(__file__).resolve().parent
HEADER = """\
# Written by `python3 bootstrap/lock.py python3.11 python3.12` from requirements.in. Not by hand.
# [base] is installed everywhere, [ros] where ROS 2 does not come from apt, [cuda] where the torch that was
# found is a CUDA build (PyPI's is; JACK_TORCH_INDEX names another index).
"""
#: What only a CUDA build of torch asks for. A CPU build does not, and nothing else does.
CUDA = re.compile(r"^(nvidia-|cuda-|triton$)")


def resolve(python: str, requirements: list[str], constraints: dict[str, str]) -> dict[str, str]:
    """Let pip under `python` resolve `requirements`; returns `{name: version}`, local versions cut off."""
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        (here / "in.txt").write_text("\n".join(requirements))
        (here / "constraints.txt").write_text("\n".join(f"{n}=={v}" for n, v in constraints.items()))
        subprocess.run([python, "-m", "venv", here / "venv"], check=True)
        pip = [here / "venv/bin/python", "-m", "pip", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "install", "--upgrade", "pip"], check=True)
        wanted = ["--report", here / "report.json", "-r", here / "in.txt", "-c", here / "constraints.txt"]
        subprocess.run([*pip, "install", "--dry-run", "--ignore-installed", *wanted], check=True)
        report = json.loads((here / "report.json").read_text())
    packages = [item["metadata"] for item in report["install"]]
    return {canonical(item["name"]): item["version"].split("+")[0] for item in packages}


def section_of(name: str, ros_requirements: set[str]) -> str:
    """Say which section of the lock a resolved package belongs to."""
    if CUDA.match(name):
        return "cuda"
    return "ros" if name.startswith("ros-") or name in ros_requirements else "base"


def render(found: dict[str, dict[str, str]], ros_requirements: set[str]) -> str:
    """Write the lock's text from `{python version: {name: version}}`."""
    text = HEADER
    names = sorted({name for versions in found.values() for name in versions})
    for section in ("base", "ros", "cuda"):
        text += f"\n[{section}]\n"
        for name in (n for n in names if section_of(n, ros_requirements) == section):
            versions = {python: resolved[name] for python, resolved in found.items() if name in resolved}
            if len(set(versions.values())) == 1 and (section == "cuda" or len(versions) == len(found)):
                text += f"{name}=={next(iter(versions.values()))}\n"
            else:
                text += "".join(f'{name}=={v} ; python_version == "{p}"\n' for p, v in versions.items())
    return text


def main(pythons: list[str]) -> None:
    """Resolve under each interpreter, the later ones bound to what the first one found, and write the lock."""
    wanted = sections((HERE / "requirements.in").read_text())
    requirements = [line for lines in wanted.values() for line in lines]
    found: dict[str, dict[str, str]] = {}
    for python in pythons:
        ask = "import sys; print('%d.%d' % sys.version_info[:2])"
        version = subprocess.run([python, "-c", ask], check=True, capture_output=True, text=True).stdout.strip()
        bound = {n: v for versions in found.values() for n, v in versions.items() if n != "torch"}
        found[version] = resolve(python, requirements, bound)
    ros_requirements = {canonical(re.split(r"[\[=<>]", line)[0]) for line in wanted.get("ros", [])}
    (HERE / "requirements.lock").write_text(render(found, ros_requirements))


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1:])
