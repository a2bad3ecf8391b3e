"""What our processes owe each other."""

import ctypes
import errno
import os
import signal
import socket
import sys

from core.supervisor import LISTENER_VARIABLE

BACKLOG = 4096
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


def inherited_listener() -> socket.socket | None:
    """The listening socket our parent made, if it did. Whoever connects while we start waits in its queue."""
    descriptor = os.environ.pop(LISTENER_VARIABLE, None)
    return socket.socket(fileno=int(descriptor)) if descriptor else None


def listen(host: str, port: int, variable: str = "PORT") -> socket.socket:
    """A listening socket, or `SystemExit` with a sentence that says why there can be none.

    `variable` is where the port was set.
    """
    try:
        if ":" not in host:
            return socket.create_server((host, port), backlog=BACKLOG)
        both = host == "::" and socket.has_dualstack_ipv6()
        return socket.create_server((host, port), family=socket.AF_INET6, backlog=BACKLOG, dualstack_ipv6=both)
    except OSError as error:
        why = {
            errno.EADDRINUSE: f"端口已被占用。请先停掉占用它的程序，或用 {variable} 换一个端口",
            errno.EADDRNOTAVAIL: "本机没有这个地址",
            errno.EACCES: f"没有权限，1024 以下的端口需要管理员权限；请用 {variable} 换一个端口",
        }.get(error.errno or 0, error.strerror)
        sys.exit(f"无法监听 {host}:{port}：{why}。")
