"""A process that runs onnxsim: ``python -m graphc_passes._onnxsim_worker``.

The process creates a temporary folder and writes the folder's path to standard output, as a line of JSON. Then it reads
one JSON request per line from standard input and runs each request in a fork. A crash, a hang or a memory limit thus
ends only the fork, and onnxsim is imported only once. Standard input closes when the process that sends the requests
ends or is killed. The worker then stops the fork and removes the folder.
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import sys
import tempfile
import traceback
from contextlib import suppress
from typing import Any

import onnx

# onnxsim imports torch and sympy where they are installed, and needs neither to simplify.
sys.modules.update(torch=None, sympy=None)  # type: ignore[call-overload]

import onnxsim  # noqa: E402

# These change the outputs of a model: where a norm is 0, where a probability is rounded to 0, where the largest values
# tie or are NaN, where a product overflows between two factors, where a condition ends a loop before its last turn.
INEXACT = [
    "eliminate_loop_with_const_trip_count",
    "eliminate_nop_monotone_argmax",
    "eliminate_nop_softmax",
    "fuse_consecutive_log_softmax",
    "fuse_consecutive_mul",
    "fuse_consecutive_reduce",
    "fuse_lp_normalization",
    "rewrite_arg_reduce_select_last_index",
]


def simplify_file(source: str, target: str, memory: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    simplified, _ = onnxsim.simplify(onnx.load(source), skipped_optimizers=INEXACT, tensor_size_threshold="16MB")
    external = simplified.ByteSize() > 2**31 - 2**20
    onnx.save_model(simplified, target, save_as_external_data=external, location="out.data")


def run(request: dict[str, Any]) -> str:
    """Runs a request in a fork. Returns an empty string, or the reason why there is no result."""
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
    stopped = await_end(child, reader, request["timeout"])
    _, status = os.waitpid(child, 0)
    said = os.read(reader, 400).decode(errors="replace")
    os.close(reader)
    if stopped:
        return stopped
    if os.WIFSIGNALED(status):
        return f"onnxsim was killed by signal {os.WTERMSIG(status)}"
    return f"onnxsim failed: {' '.join(said.split()) or 'no message'}" if status else ""


def await_end(child: int, reader: int, seconds: float) -> str:
    """Waits until a child process ends, which closes its pipe. Kills the child after ``seconds``.

    Returns an empty string, or the reason why the child was killed.
    """
    poller = select.poll()
    for pipe in (reader, sys.stdin.fileno()):
        poller.register(pipe, 0)
    events = dict(poller.poll(seconds * 1000))
    if reader in events:
        return ""
    os.kill(child, signal.SIGKILL)
    return "the process that asked for it has ended" if events else f"onnxsim was not done after {seconds:g} s"


def main() -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.dup(1)
    os.dup2(2, 1)
    with tempfile.TemporaryDirectory(prefix="graphc-") as folder, suppress(BrokenPipeError):
        os.write(answers, json.dumps(folder).encode() + b"\n")
        for line in sys.stdin:
            os.write(answers, json.dumps(run(json.loads(line))).encode() + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
