"""One file to another folder under its own name, never over another one."""

from __future__ import annotations

import ctypes
import errno
import os

_NO_REPLACE = 1
_UNKNOWN = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP}
"""What a system says that cannot rename without replacing (NFS, many file systems in user space)."""
_C = ctypes.CDLL(None, use_errno=True)


def move(source: int, target: int, name: str) -> None:
    """Rename *name* from the open folder *source* to *target*. Raises FileExistsError when it is taken there, or OSError.

    Where the system cannot do it in one step the file gets its second name first, and loses the first one after that: cut in
    between, it has both.
    """
    if _rename(source, target, name):
        return
    os.link(name, name, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
    os.unlink(name, dir_fd=source)


def _rename(source: int, target: int, name: str) -> bool:
    """Whether the system knows how; raises OSError when it does and could not."""
    call = getattr(_C, "renameat2", None)
    if call is None:
        return False
    raw = os.fsencode(name)
    if b"\0" in raw:
        raise ValueError("no file can have this name")
    if call(source, raw, target, raw, ctypes.c_uint(_NO_REPLACE)) == 0:
        return True
    number = ctypes.get_errno()
    if number in _UNKNOWN:
        return False
    raise OSError(number, os.strerror(number), name)
