"""The ``graphc`` command in a process of its own, with an end to its memory and its time.

Native code that a hostile or broken model crashes takes its process along. The process that the user started only waits
for it, so that it can say so and exit with a status that means something.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys

PR_SET_PDEATHSIG = 1
PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
BAD_MODEL = 2


def main() -> None:
    """Forks before anything is imported that has threads; the command runs in the child."""
    waited = {signal.SIGCHLD, *PASSED_ON}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, waited)
    parent = os.getpid()
    child = os.fork()
    if child:
        os._exit(wait_for(child, waited))
    die_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    from graphc.cli import run

    signal.signal(signal.SIGINT, signal.default_int_handler)
    run(limit)


def limit(memory: int, seconds: float) -> None:
    """Ends this process when it has run for so long, and leaves it no more than so many bytes of address space."""
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (memory if most == resource.RLIM_INFINITY else min(memory, most), most))
    signal.setitimer(signal.ITIMER_REAL, seconds)


def die_with_parent(parent: int) -> None:
    """Asks Linux to kill this process when its parent ends (prctl(2), PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))
    if os.getppid() != parent:
        os._exit(BAD_MODEL)


def wait_for(child: int, waited: set[signal.Signals]) -> int:
    """The exit status of the child; says why it ended where it could not itself.

    A signal that a terminal sends reaches both processes; one that another process sends is passed on.
    """
    while not (ended := os.waitpid(child, os.WNOHANG))[0]:
        came = signal.sigwaitinfo(waited)
        if came.si_signo != signal.SIGCHLD and came.si_code <= 0:
            os.kill(child, came.si_signo)
    status = ended[1]
    if os.WIFEXITED(status):
        return os.WEXITSTATUS(status)
    number = os.WTERMSIG(status)
    if number in PASSED_ON:
        sys.stderr.write("graphc: interrupted; nothing was written\n")
        return 128 + number
    if number == signal.SIGALRM:
        return said("not done in the time it may take; nothing was written; --max-minutes allows more")
    name = signal.Signals(number).name
    return said(
        f"native code crashed ({name}); nothing was written; it may have met the end of its memory: --max-memory-gb, "
        "else the model is broken, or a library is"
    )


def said(message: str) -> int:
    sys.stderr.write(f"graphc: error: {message}\n")
    sys.stderr.flush()
    return BAD_MODEL
