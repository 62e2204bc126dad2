"""Replaces itself by a program of PostgreSQL: not as root, and not longer than the process that asked for it.

    python -P lower.py <uid> <gid> <parent pid> <0 or 1: may look into any folder> <program> <arguments...>

PostgreSQL refuses to run as root, so root's identity is dropped first. An unprivileged account often cannot even
reach a data directory below ``/root``; the last flag then leaves it the one capability to pass through folders.
The process gets SIGINT (PostgreSQL: fast shutdown) when its parent dies, however it died. Linux only; elsewhere
the next user of the data directory stops what was left. A file of its own that imports nothing of the package, so
that it starts fast and without what a caller's thread may hold.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import Final

PR_SET_PDEATHSIG: Final = 1
PR_SET_KEEPCAPS: Final = 8
PR_SET_SECUREBITS: Final = 28
SECBIT_NO_SETUID_FIXUP: Final = 4
PR_CAP_AMBIENT: Final = 47
PR_CAP_AMBIENT_RAISE: Final = 2
CAP_DAC_READ_SEARCH: Final = 2
CAPABILITY_VERSION_3: Final = 0x20080522


def _keep_only(libc: ctypes.CDLL, capability: int) -> None:
    """Set the three sets to this capability and hand it on over ``exec``; where the system refuses, go on without."""
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    bit = 1 << capability
    sets = (ctypes.c_uint32 * 6)(bit, bit, bit, 0, 0, 0)
    if libc.capset(header, sets) == 0:
        libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0)


def main(argv: list[str]) -> None:
    uid, gid, parent, search = (int(a) for a in argv[:4])
    libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
    if os.geteuid() != uid:
        if libc and search:
            libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)
            # Otherwise access(2), by which PostgreSQL finds its own programs, ignores the capability.
            libc.prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0)
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
        if libc and search:
            _keep_only(libc, CAP_DAC_READ_SEARCH)
    if libc:
        # After setuid, which clears it.
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGINT, 0, 0, 0)
        if os.getppid() != parent:
            sys.exit("the process that asked for this one is gone")
    os.execv(argv[4], argv[4:])


if __name__ == "__main__":
    main(sys.argv[1:])
