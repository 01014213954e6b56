"""Builds the wheel, installs it in fresh environments of every Python at hand, wheels only, and compiles an example there."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
PYTHONS = ("python3.11", "python3.12", "python3.13")


def main() -> int:
    good = bad = skipped = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "source"
        shutil.copytree(ROOT, source, ignore=made_here, symlinks=True)
        subprocess.run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", name, str(source)], check=True)
        (wheel,) = folder.glob("*.whl")
        for python in PYTHONS:
            if shutil.which(python) is None or subprocess.run([python, "-c", ""], capture_output=True).returncode:
                print(f"{python}: not on this machine")
                skipped += 1
                continue
            works = try_wheel(python, wheel, folder / python)
            print(f"{python}: {'compiles and streams an example' if works else 'FAILED'}")
            good, bad = good + works, bad + (not works)
    print(f"{good} passed, {bad} failed, {skipped} skipped")
    return 1 if bad or not good else 0


def made_here(folder: str, names: list[str]) -> set[str]:
    """What stands in the project's root without being part of it, and caches anywhere."""
    caches = {n for n in names if n == "__pycache__" or n.endswith(".egg-info")}
    return caches | ({".venv", ".git", "out", "build", "dist"} if Path(folder) == ROOT else set())


def try_wheel(python: str, wheel: Path, folder: Path) -> bool:
    folder.mkdir()
    subprocess.run([python, "-m", "venv", str(folder / "v")], check=True)
    run = folder / "v" / "bin" / "python"
    install = [str(run), "-m", "pip", "install", "-q", "--only-binary", ":all:", str(wheel)]
    subprocess.run(install, check=True)
    shutil.copytree(ROOT / "specs", folder / "specs")
    (folder / "examples").mkdir()
    shutil.copytree(ROOT / "examples" / "models", folder / "examples" / "models")
    graphc = [str(folder / "v" / "bin" / "graphc")]
    passes = subprocess.run([*graphc, "passes"], capture_output=True, text=True, check=False, cwd=folder)
    done = subprocess.run([*graphc, "compile", "specs/crnn.dynamo.yaml"], cwd=folder, check=False)
    return "lift_state" in passes.stdout and done.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
