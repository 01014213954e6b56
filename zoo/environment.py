"""The environments that the packages are installed in, one for each file of ``zoo/environments``."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent / "environments"


def python_of(name: str, folder: Path) -> Path:
    """The interpreter of an environment below ``folder``, which is made unless it is there as its file says.

    Raises:
        subprocess.CalledProcessError: something could not be installed; pip has printed what.
    """
    wanted = (FOLDER / f"{name}.txt").read_text()
    home = folder / name
    python, made = home / "bin" / "python", home / "made.txt"
    if made.is_file() and made.read_text() == wanted:
        return python
    subprocess.run([sys.executable, "-m", "venv", "--clear", home], check=True)
    pip = (str(python), "-m", "pip", "install", "-q", "--no-deps")
    subprocess.run([*pip, "-r", str(FOLDER / "build.txt")], check=True)
    subprocess.run([*pip, "--no-build-isolation", "-r", str(FOLDER / f"{name}.txt")], check=True)
    for library in home.glob("lib/*/site-packages/torchaudio/lib/_torchaudio.*"):
        library.unlink()  # it is built for CUDA and stops the import elsewhere; the networks are Python
    made.write_text(wanted)
    return python


def versions_of(name: str) -> dict[str, str]:
    """The version of each package of an environment, by its name in lower case with hyphens."""
    lines = (FOLDER / f"{name}.txt").read_text().splitlines()
    pinned = (line.split("==") for line in lines if "==" in line)
    return {plain(package): version for package, version in pinned}


def plain(package: str) -> str:
    """A package's name as PyPI compares it."""
    return re.sub(r"[-_.]+", "-", package).lower()
