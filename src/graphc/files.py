"""Files found, and files written whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from graphc.errors import OutputError


def files_in(path: Path) -> list[Path]:
    """The regular files of a folder and all folders in it, in order; a file is its own only one."""
    return sorted(p for p in (path.rglob("*") if path.is_dir() else [path]) if p.is_file())


def write_all(files: Mapping[Path, bytes]) -> None:
    """Writes every file beside its place first, and only then puts all of them there, in the order given.

    Errors:
        OutputError: a folder or file that cannot be written, a full disk; nothing is changed then.
    """
    waiting: dict[Path, Path] = {}
    try:
        for path, content in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
            waiting[temporary] = path
            with temporary.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        for path in waiting.values():
            if path.is_dir():
                raise OutputError("a folder stands where an output goes", where=str(path))
        for temporary, path in list(waiting.items()):
            temporary.replace(path)
            del waiting[temporary]
    except OSError as err:
        raise OutputError(
            f"the outputs cannot be written: {err.strerror or err}", where=str(err.filename or next(iter(files)))
        ) from err
    finally:
        for temporary in waiting:
            temporary.unlink(missing_ok=True)
