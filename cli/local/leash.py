"""Replaces itself by a command that cannot outlive its parent: `leash.py PARENT_PID COMMAND...`.

Run as a file by a bare interpreter (no site packages), so that it costs a few milliseconds. The kernel
keeps the death signal over exec. Platforms other than Linux have no such signal; there the supervisor's
own shutdown is all that ends a child.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent_pid: int) -> None:
    """Asks the kernel to kill this process when its parent dies; ends it if the parent is dead already."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent_pid:
        sys.exit(1)


if __name__ == "__main__":
    # Survives the exec, until the service has a handler: a SIGHUP that comes too early must not end it.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    die_with_parent(int(sys.argv[1]))
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606 - the supervisor composed this command
