"""Runs the ``graphc`` command in a child process, with limits on memory and time.

If a hostile or broken model crashes native code, the whole process dies. The process that the user started therefore
only waits for the child, so that it can report the crash and exit with a meaningful status.
"""

from __future__ import annotations

import os
import resource
import signal
import sys

from graphc.system.parent import die_with_parent
from graphc.system.scratch_files import remove_scratch_of
from graphc.system.signals import INTERRUPT, hear_the_parent_only, say, say_interrupted

PASSED_ON = {signal.SIGINT: INTERRUPT, signal.SIGTERM: signal.SIGTERM, signal.SIGHUP: signal.SIGHUP}
BAD_MODEL = 2


def main() -> None:
    """Runs the command in a child process. Forks before importing anything that starts threads."""
    waited = {signal.SIGCHLD, *PASSED_ON}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, waited)
    parent = os.getpid()
    child = os.fork()
    if child:
        status = wait_for(child, waited)
        remove_scratch_of(child)
        os._exit(status)
    die_with_parent(parent)
    hear_the_parent_only()
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    from graphc.cli.main import run

    try:
        run(limit)
    except SystemExit as err:
        leave(err.code)
    leave(0)


def leave(status: object) -> None:
    """Exits without the messages that native libraries print during their shutdown.

    If the output cannot be written, Python ends the process in its usual way.
    """
    if not isinstance(status, int):
        sys.exit(status)  # type: ignore[arg-type]
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        sys.exit(status)
    os._exit(status)


def limit(memory: int, seconds: float) -> None:
    """Limits this process to ``seconds`` of real time and ``memory`` bytes of address space."""
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (memory if most == resource.RLIM_INFINITY else min(memory, most), most))
    signal.setitimer(signal.ITIMER_REAL, seconds)


def wait_for(child: int, waited: set[signal.Signals]) -> int:
    """Waits for the child and returns its exit status. Prints why the child ended if a signal ended it."""
    while not (ended := os.waitpid(child, os.WNOHANG))[0]:
        came = signal.sigwaitinfo(waited).si_signo
        if came != signal.SIGCHLD:
            os.kill(child, PASSED_ON[signal.Signals(came)])
    status = ended[1]
    if os.WIFEXITED(status):
        return os.WEXITSTATUS(status)
    number = os.WTERMSIG(status)
    if number == signal.SIGINT:  # so Python ends where a KeyboardInterrupt has left an exec(), caught later or not
        return 128 + number
    for came, passed in PASSED_ON.items():
        if number == passed:
            say_interrupted()
            return 128 + came
    if number == signal.SIGALRM:
        say("error: time limit reached; no output is half written; --max-minutes raises it")
    else:
        say(
            f"error: native code crashed ({signal.Signals(number).name}); no output is half written; it may have run "
            "out of memory (--max-memory-gb), or the model or a library is broken"
        )
    return BAD_MODEL
