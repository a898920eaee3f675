"""Room on the disk, checked before large writes rather than found missing in the middle of them."""

import errno
import shutil
from pathlib import Path

# Room that is left to the database, so that it can still say what happened when models have filled the disk.
RESERVE_BYTES = 64 * 2**20


def need_room(folder: Path, size: int) -> None:
    """Check before a large write.

    Raises:
        OSError: ENOSPC, unless `folder`'s disk has `size` bytes and the reserve left.
    """
    free = shutil.disk_usage(folder).free
    if free < size + RESERVE_BYTES:
        megabytes = 2**20
        raise OSError(
            errno.ENOSPC,
            f"the disk is full: {size / megabytes:.0f} MB and a reserve of {RESERVE_BYTES / megabytes:.0f} MB are"
            f" needed, {free / megabytes:.0f} MB are free",
            str(folder),
        )
