"""What our processes owe each other."""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int | None = None) -> None:
    """Have the kernel send us SIGTERM when our parent dies, even by SIGKILL; Linux only, elsewhere nothing.

    It lasts through exec, not through fork, and follows the *thread* that started us, so a supervisor starts
    its children from a thread that stays. `parent` is the process id we should have been started by: if it is
    gone already, we leave at once.
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if parent is not None and os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGTERM)
