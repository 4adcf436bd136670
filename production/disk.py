"""How bytes are read from a disk and come to stand on one for good: blocks, new files, directories, what went wrong.

Below the rooms that use it (transfer, outputs); knows nothing of runs. Whatever the operating system refuses leaves
here as one ``Trouble`` that names the file and the mend.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator

BLOCK = 1 << 20
"""Bytes read at a time; between two of them a copy may be told to end."""
_SYNC_EVERY = 64
"""Blocks after which what was written goes to the disk, so that the last sync (nobody can end it) stays short."""

_MENDS = {
    errno.ENOSPC: "the disk is full: make room on it",
    errno.EDQUOT: "the disk quota is used up: remove something",
    errno.EACCES: "look at the permissions of the file and of its directories",
    errno.EPERM: "look at the permissions of the file and of its directories",
    errno.EROFS: "that file system is mounted read-only",
    errno.EIO: "the disk or its server has trouble: tell who looks after it",
    errno.ESTALE: "the file server changed it under us: trying again helps",
    errno.EFBIG: "larger than the file system or `ulimit -f` allows",
    errno.ENAMETOOLONG: "shorten the name",
    errno.ELOOP: "a symbolic link leads nowhere",
    errno.EMFILE: "too many open files: raise `ulimit -n`",
}
_LASTING = {
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.EFBIG, errno.ENAMETOOLONG, errno.ELOOP, errno.ENOENT),
    *(errno.ENOTDIR, errno.EISDIR, errno.EINVAL, errno.EEXIST, errno.ENOTEMPTY, errno.EILSEQ),
}


class Trouble(Exception):
    """What the operating system refused, in one line."""

    def __init__(self, doing: str, path: str, error: OSError) -> None:
        mend = _MENDS.get(error.errno or 0)
        super().__init__(f"cannot {doing} {shown(path)}: {error.strerror}" + (f" ({mend})" if mend else ""))
        self.path = path
        self.errno = error.errno or 0
        self.transient = self.errno not in _LASTING
        """Whether it may go better another time, with nobody's help or after some room was made."""

    @property
    def missing(self) -> bool:
        """There is no such file."""
        return self.errno in (errno.ENOENT, errno.ENOTDIR)


def shown(path: str) -> str:
    """The path as one printable line: a name may hold line ends, or bytes that are no text."""
    return printable(os.fsencode(path).decode("utf-8", "backslashreplace"))


def printable(text: str) -> str:
    """The text in one line that any terminal, log and database takes."""
    text = text.encode("utf-8", "backslashreplace").decode()
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def first_line(error: BaseException) -> str:
    """The beginning of what a strange error says, printable."""
    lines = str(error).strip().splitlines()
    return printable(lines[0] if lines else type(error).__name__)


@contextlib.contextmanager
def trying(doing: str, path: str) -> Iterator[None]:
    """Let an OSError of this block leave as ``Trouble``."""
    try:
        yield
    except OSError as error:
        raise Trouble(doing, path, error) from error


@contextlib.contextmanager
def reading(path: str, *, follow: bool = True) -> Iterator[tuple[int, os.stat_result]]:
    """A descriptor of a regular file, and what it is; neither a pipe nor a device can hang us.

    ``follow``: whether a symbolic link will do.
    Raises: Trouble.
    """
    with trying("read", path):
        _refuse_special(os.stat(path, follow_symlinks=follow))  # before the open: opening a tape device winds it
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
        descriptor = os.open(path, flags if follow else flags | os.O_NOFOLLOW)
    try:
        with trying("read", path):
            status = os.fstat(descriptor)
            _refuse_special(status)
        yield descriptor, status
    finally:
        os.close(descriptor)


def _refuse_special(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, f"not a regular file but a {_kind(status.st_mode)}")


def _kind(mode: int) -> str:
    kinds = {stat.S_IFDIR: "directory", stat.S_IFLNK: "symbolic link", stat.S_IFIFO: "pipe", stat.S_IFSOCK: "socket"}
    return kinds.get(stat.S_IFMT(mode), "device")


def blocks(descriptor: int, path: str, size: int) -> Iterator[memoryview]:
    """The file from its beginning, block by block; each is valid until the next. ``size`` (about) saves memory."""
    # Plain reads: copy_file_range would spare a copy in memory, but it has lied on several network file systems
    # (0 bytes, or success without the bytes), and who hashes needs the bytes anyway.
    buffer = memoryview(bytearray(min(BLOCK, size + 1)))
    at = 0
    while True:
        with trying("read", path):
            count = os.preadv(descriptor, [buffer], at)
        if not count:
            return
        yield buffer[:count]
        at += count


class Part:
    """A new file that is being written; see ``new``."""

    def __init__(self, path: str, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor
        self._blocks = 0

    def write(self, block: memoryview) -> None:
        """Append the block. Raises: Trouble."""
        with trying("write", self.path):
            while block:
                block = block[os.write(self._descriptor, block) :]
            self._blocks += 1
            if self._blocks % _SYNC_EVERY == 0:
                os.fdatasync(self._descriptor)

    def sync(self) -> None:
        """Return when every byte is on the disk. Raises: Trouble."""
        with trying("write", self.path):
            os.fsync(self._descriptor)

    def rename(self, final: str) -> None:
        """Give it its name, for good: also a power cut doesn't take it back. Raises: Trouble."""
        with trying("rename", self.path):
            if not self.ours():
                raise OSError(errno.EBUSY, "somebody else writes it now")
            os.rename(self.path, final)
        sync_directory(os.path.dirname(final))

    def ours(self) -> bool:
        """Whether the name still means our file: a manager that was asleep may find that another has begun anew."""
        try:
            there = os.stat(self.path, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return os.path.samestat(there, os.fstat(self._descriptor))


@contextlib.contextmanager
def new(path: str) -> Iterator[Part]:
    """A new file at ``path`` (a leftover there is removed first); removed again if the block doesn't end well.

    Raises: Trouble.
    """
    with trying("write", path):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)  # not truncated: whoever still writes into it keeps his own, nameless file
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    part = Part(path, descriptor)
    try:
        yield part
    except BaseException:
        with contextlib.suppress(OSError):  # the first error is the one to be told
            if part.ours():  # asked while ours is open: a closed file's inode number is given away again
                os.unlink(path)
        raise
    finally:
        os.close(descriptor)


def make_directory(path: str) -> int:
    """The directory, with its parents, made if it isn't there; returns its device number. The mode is the umask's.

    Raises: Trouble.
    """
    path = path or "."
    with trying("make the directory", path):
        try:
            return os.stat(path).st_dev
        except FileNotFoundError:
            pass
    parent = os.path.dirname(path)
    make_directory(parent)
    with trying("make the directory", path):
        with contextlib.suppress(FileExistsError):  # another thread or manager was faster; or a dangling link, see stat
            os.mkdir(path)
        device = os.stat(path).st_dev
    sync_directory(parent)
    return device


def sync_directory(path: str) -> None:
    """Let the names in a directory outlive a power cut. Raises: Trouble."""
    with trying("write", path):
        descriptor = os.open(path or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems have no such thing
                raise
        finally:
            os.close(descriptor)
