"""Where a database stands: its real path, who shares it, and which journal is safe there.

WAL needs a file system of this machine alone, and shared files that every user of the database can create and
write: the directory must be as open as the database, with setgid, or the second user gets "unable to open database
file". Elsewhere the rollback journal is used, kept as a file so that its mode stays.
"""

from __future__ import annotations

import dataclasses
import os
import stat

NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "lustre", "gpfs", "beegfs", "ceph", "afs", "9p", "glusterfs", "pvfs2"}
)
"""File system types on which neither WAL nor ``flock`` can be trusted between machines; ``fuse.*`` likewise."""


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """A database file, looked at once when it is opened."""

    path: str
    """Without symbolic links: its lock and journal stand beside the real file."""
    network: bool
    inode: int
    """A database that was moved away or replaced is told by it."""
    advice: str
    """One line when the place is worse than it could be, else empty."""

    @property
    def journal(self) -> str:
        if not self.advice:
            return "WAL"
        # Kept as a file its mode stays; but without setgid it has its maker's group, and the next user can't open it.
        kept = self.network or not os.access(os.path.dirname(self.path), os.W_OK)
        return "TRUNCATE" if kept else "DELETE"


def look(path: str) -> Place:
    """The place of an existing database.

    Raises: OSError.
    """
    real = os.path.realpath(path)
    file = os.stat(real)
    if on_network(real):
        return Place(real, True, file.st_ino, f"{real} is on a network file system: slower journal, longer waits")
    return Place(real, False, file.st_ino, _sharing(real, file, os.stat(os.path.dirname(real))))


def _sharing(path: str, file: os.stat_result, directory: os.stat_result) -> str:
    """What is wrong between the permissions of a database and its directory; empty if nothing."""
    of_group = file.st_gid == directory.st_gid and bool(directory.st_mode & stat.S_ISGID)
    group, other = (bool(file.st_mode & bit) for bit in (stat.S_IWGRP, stat.S_IWOTH))
    dir_group, dir_other = (bool(directory.st_mode & bit) for bit in (stat.S_IWGRP, stat.S_IWOTH))
    if (group and not (dir_group and of_group)) or (other and not dir_other):
        mend = f"chmod g+rwxs '{os.path.dirname(path)}'"
        return f"others may write {path} but not its directory: slower journal; mend: {mend}"
    # Who looks makes files that the owner must be able to write.
    if ((dir_group and not group) or (dir_other and not other)) and not (group and of_group):
        return (
            f"others may write the directory of {path} but not the database: slower journal; mend: chmod g+rw '{path}'"
        )
    return ""


def mode_for(directory: str) -> int | None:
    """Permissions of a new database: shared with the group if its directory is; None leaves it to the umask."""
    state = os.stat(directory)
    both = stat.S_ISGID | stat.S_IWGRP
    return 0o664 if state.st_mode & both == both else None


def on_network(path: str, mounts: str = "/proc/self/mounts") -> bool:
    """Whether the path is on a network file system."""
    kind = file_system(path, mounts)
    return kind in NETWORK or kind.startswith("fuse.")


def file_system(path: str, mounts: str = "/proc/self/mounts") -> str:
    """Type of the file system at the longest mount point above ``path`` (proc(5), fstab format)."""
    best, kind = "", ""
    with open(mounts, encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            _device, point, type_, *_ = line.split(" ")
            point = point.encode("latin-1", "backslashreplace").decode("unicode_escape") if "\\" in point else point
            inside = path == point or path.startswith(point.rstrip("/") + "/")
            if inside and len(point) >= len(best):
                best, kind = point, type_
    return kind
