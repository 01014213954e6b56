"""A process that runs onnxsim: ``python -m graphc_passes._onnxsim_worker``.

It takes one JSON request a line on its standard input and forks for each, so that a crash, a hang or a memory limit
ends the fork alone, and importing onnxsim is paid once.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
import traceback
from typing import Any

import onnx
import onnxsim

POLL_SECONDS = 0.005


def simplify_file(source: str, target: str, memory: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    simplified, _ = onnxsim.simplify(onnx.load(source), tensor_size_threshold="16MB")
    external = simplified.ByteSize() > 2**31 - 2**20
    onnx.save_model(simplified, target, save_as_external_data=external, location="out.data")


def run(request: dict[str, Any]) -> str:
    """An empty string, or why there is no result."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reader)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            os.dup2(1, 2)
            simplify_file(request["source"], request["target"], request["memory"])
            status = 0
        except BaseException as err:
            last = traceback.format_exception_only(err)[-1].strip()
            os.write(writer, last[-400:].encode())
        finally:
            os._exit(status)
    os.close(writer)
    deadline = time.monotonic() + request["timeout"]
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            os.close(reader)
            return f"onnxsim was not done after {request['timeout']:g} s"
        time.sleep(POLL_SECONDS)
    said = os.read(reader, 400).decode(errors="replace")
    os.close(reader)
    if os.WIFSIGNALED(status):
        return f"onnxsim was killed by signal {os.WTERMSIG(status)}"
    return f"onnxsim failed: {' '.join(said.split()) or 'no message'}" if status else ""


def main() -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        answers.write(json.dumps(run(json.loads(line))) + "\n")
        answers.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
