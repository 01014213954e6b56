"""Converters that cannot live beside graphc: each has an environment of its own, made by one command."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from graphc.errors import InstallError


@dataclass(frozen=True)
class OwnEnvironment:
    """An environment below the user's cache folder.

    Args:
        name: of the target, for ``graphc targets --prepare NAME``.
        packages: as pip takes them, pinned.
        oldest: the oldest Python that takes them.
    """

    name: str
    packages: tuple[str, ...]
    oldest: tuple[int, int]

    @property
    def home(self) -> Path:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        return cache / "graphc" / f"{self.name}-{self.packages[0].replace('==', '-')}"

    @property
    def python(self) -> Path:
        return self.home / "bin" / "python"

    @property
    def is_made(self) -> bool:
        return (self.home / "made.txt").is_file()

    def check_made(self) -> None:
        """Refuses to go on without it.

        Errors:
            InstallError: says which command makes it.
        """
        if not self.is_made:
            raise InstallError(
                f"the converter of the target {self.name} is not installed",
                hint=f"graphc targets --prepare {self.name}",
            )

    def make(self) -> None:
        """Makes it anew, from a package index.

        Errors:
            InstallError: no Python that is new enough, or a package that cannot be installed.
        """
        interpreter = self.interpreter()
        try:
            subprocess.run([interpreter, "-m", "venv", "--clear", str(self.home)], check=True, capture_output=True)
            pip = [str(self.python), "-m", "pip", "install", "-q", *self.packages]
            subprocess.run(pip, check=True, capture_output=True, text=True)
        except subprocess.CalledProcessError as err:
            said = (err.stderr or "").strip().splitlines() if isinstance(err.stderr, str) else []
            raise InstallError(
                f"the converter of the target {self.name} cannot be installed: {said[-1] if said else err}",
                hint=f"it needs {', '.join(self.packages)} and a package index",
            ) from err
        (self.home / "made.txt").write_text("\n".join(self.packages) + "\n")

    def interpreter(self) -> str:
        """A Python that is new enough: this one, or one on the PATH."""
        if sys.version_info[:2] >= self.oldest:
            return sys.executable
        names = [f"python{self.oldest[0]}.{minor}" for minor in range(self.oldest[1], self.oldest[1] + 4)]
        found = next((path for name in names if (path := runs(shutil.which(name))) is not None), None)
        if found is None:
            wanted = f"Python {self.oldest[0]}.{self.oldest[1]}"
            raise InstallError(
                f"the converter of the target {self.name} needs {wanted}", hint=f"put {names[0]} on the PATH"
            )
        return found


def runs(path: str | None) -> str | None:
    """The path, if it is a Python that starts; a shim of a version manager may be none."""
    if path is None:
        return None
    done = subprocess.run([path, "-c", ""], capture_output=True, check=False)
    return path if done.returncode == 0 else None
