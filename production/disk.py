"""How bytes are read from a disk and come to stand on one for good: blocks, new files, directories, what went wrong.

Below the rooms that use it (transfer, outputs); knows nothing of runs. Whatever the operating system refuses leaves
here as one ``Trouble`` that names the file and the mend.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import fcntl
import os
import shutil
import stat
import threading
from collections.abc import Iterator

BLOCK = 1 << 20
"""Bytes read at a time; between two of them a copy may be told to end."""
_SYNC_FROM = 8 << 20
"""Bytes from which on what was written goes to the disk, if that isn't at work: the sooner it begins, the sooner it ends."""
_SYNC_AT = 64 << 20
"""Bytes at which it is waited for, so that the last sync (nobody can end it) stays short."""

_MENDS = {
    errno.ENOSPC: "the disk is full: make room on it",
    errno.EDQUOT: "the disk quota is used up: remove something",
    errno.EACCES: "look at the permissions of the file and of its directories",
    errno.EPERM: "look at the permissions of the file and of its directories",
    errno.EROFS: "that file system is mounted read-only",
    errno.EIO: "the disk or its server has trouble: tell who looks after it",
    errno.ESTALE: "the file server changed it under us: trying again helps",
    errno.EEXIST: "it is there already, and isn't replaced",
    errno.EFBIG: "larger than the file system or `ulimit -f` allows",
    errno.ENAMETOOLONG: "shorten the name",
    errno.ELOOP: "a symbolic link leads nowhere",
    errno.EMFILE: "too many open files: raise `ulimit -n`",
    errno.ENFILE: "this machine has too many open files: end some programs",
    errno.ENOMEM: "this machine is out of memory: end some programs",
}
SHORT = {errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EAGAIN}
"""What says that this machine is short of something: nobody's fault, and it passes."""
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV}
"""What file systems say that know no second name of a file."""
_LASTING = {
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.EFBIG, errno.ENAMETOOLONG, errno.ELOOP, errno.ENOENT),
    *(errno.ENOTDIR, errno.EISDIR, errno.EINVAL, errno.ENOTEMPTY, errno.EILSEQ),
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
        self.waits = self.errno in SHORT
        """Whether it is no file's fault but our machine's, and is waited out."""

    @property
    def missing(self) -> bool:
        """There is no such file."""
        return self.errno in (errno.ENOENT, errno.ENOTDIR)


def shown(path: str) -> str:
    """The path as one printable line: a name may hold line ends, or bytes that are no text."""
    return printable(os.fsencode(path).decode("utf-8", "backslashreplace"))


def printable(text: str) -> str:
    """The text in one line that any terminal, log and database takes."""
    if text.isprintable():
        return text
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


@dataclasses.dataclass(frozen=True, slots=True)
class Left:
    """A part that stayed where it was, by what it can be known again."""

    device: int
    inode: int
    bytes: int
    modified: int
    """Nanoseconds."""


class _Sync(threading.Thread):
    """Writes a file to the disk; a daemon, so that a file server that hangs can't hold the exit."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(name="sync", daemon=True)
        self._descriptor = descriptor
        self.error: OSError | None = None

    def run(self) -> None:
        try:
            os.fdatasync(self._descriptor)
        except OSError as error:
            self.error = error


class Part:
    """A file that is being written; see ``new``."""

    def __init__(self, path: str, descriptor: int, bytes_: int = 0) -> None:
        self.path = path
        self.bytes = bytes_
        self.stays = False
        self._descriptor = descriptor
        self._synced = bytes_
        self._syncing: _Sync | None = None

    def write(self, block: memoryview) -> None:
        """Append the block. Raises: Trouble."""
        with trying("write", self.path):
            while block:
                count = os.write(self._descriptor, block)
                self.bytes += count
                block = block[count:]
            if self.bytes - self._synced >= (_SYNC_AT if self._busy() else _SYNC_FROM):
                self._sync_beside()

    def end(self, count: int) -> bytes:
        """The last ``count`` bytes. Raises: Trouble."""
        if not count:
            return b""
        with trying("read", self.path):
            return os.pread(self._descriptor, count, max(0, self.bytes - count))

    def sync(self) -> None:
        """Return when every byte is on the disk. Raises: Trouble."""
        with trying("write", self.path):
            self._settle()
            os.fsync(self._descriptor)

    def _busy(self) -> bool:
        return self._syncing is not None and self._syncing.is_alive()

    def _sync_beside(self) -> None:
        """Let the disk work while the next bytes come. The last time must be over: a disk may be the slower one."""
        self._settle()
        self._syncing = _Sync(self._descriptor)
        self._syncing.start()
        self._synced = self.bytes

    def _settle(self) -> None:
        """Wait for the sync that is under way."""
        if self._syncing is not None:
            self._syncing.join()
            if self._syncing.error is not None:
                raise self._syncing.error

    def close(self) -> None:
        """Let go of the file, after what still writes it to the disk."""
        if self._syncing is not None:
            self._syncing.join()
        os.close(self._descriptor)

    def rename(self, final: str) -> None:
        """Give it its name; for good once the directory is synced, too. Raises: Trouble."""
        with trying("rename", self.path):
            if not self.ours():
                raise OSError(errno.EBUSY, "somebody else writes it now")
            os.rename(self.path, final)

    def publish(self, final: str) -> None:
        """As ``rename``, but a file that is there already stays. Raises: Trouble."""
        with trying("rename", self.path):
            if not self.ours():
                raise OSError(errno.EBUSY, "somebody else writes it now")
        with trying("write", final):
            try:
                os.link(self.path, final, follow_symlinks=False)  # unlike a rename it never replaces
            except OSError as error:
                if error.errno not in _NO_LINKS and error.errno != errno.EEXIST:
                    raise
                if os.path.lexists(final):
                    number = errno.EISDIR if os.path.isdir(final) else errno.EEXIST
                    raise OSError(number, os.strerror(number)) from error
                os.rename(self.path, final)
                return
        with contextlib.suppress(OSError):  # a second name of a whole file does no harm
            os.unlink(self.path)

    def leave(self) -> Left:
        """Let it stay when the block ends with an error; ``new`` goes on with it. Raises: Trouble."""
        with trying("write", self.path):
            os.fsync(self._descriptor)  # a file server sets the time when the bytes reach it
            status = os.fstat(self._descriptor)
        self.stays = True
        return Left(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)

    def ours(self) -> bool:
        """Whether the name still means our file: a manager that was asleep may find that another has begun anew."""
        try:
            there = os.stat(self.path, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return os.path.samestat(there, os.fstat(self._descriptor))


@contextlib.contextmanager
def new(path: str, left: Left | None = None) -> Iterator[Part]:
    """A new file at ``path`` (a leftover there is removed first); removed again if the block doesn't end well.

    ``left``: a leftover that is still exactly this one is gone on with; ``bytes`` tells where it stands.
    Raises: Trouble.
    """
    descriptor = None if left is None else _again(path, left)
    if descriptor is None:
        left = None
        with trying("write", path):
            descriptor = _made(path)
    part = Part(path, descriptor, 0 if left is None else left.bytes)
    with contextlib.suppress(OSError):  # a file system without locks
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # as long as we live: see remove_abandoned
    try:
        yield part
    except BaseException:
        with contextlib.suppress(OSError):  # the first error is the one to be told
            if not part.stays and part.ours():  # asked while open: a closed file's inode number is given away again
                os.unlink(path)
        raise
    finally:
        part.close()


def _made(path: str) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o666)
    except FileExistsError:
        os.unlink(path)  # not truncated: whoever still writes into it keeps his own, nameless file
        return os.open(path, flags, 0o666)


def _again(path: str, left: Left) -> int | None:
    """A descriptor at the end of what was left; None if it is gone, or not as it was left."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    status = os.fstat(descriptor)
    if left != Left(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns):
        os.close(descriptor)
        return None
    os.lseek(descriptor, 0, os.SEEK_END)
    return descriptor


def remove_left(path: str, left: Left) -> None:
    """Remove a part that nobody goes on with, if it is still exactly this one."""
    descriptor = _again(path, left)
    if descriptor is not None:
        with contextlib.suppress(OSError):
            os.unlink(path)
        os.close(descriptor)


def remove_abandoned(path: str) -> bool:
    """Remove a part that no living process writes, as far as its file system can tell; whether it was."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return False
        os.unlink(path)
    except OSError:
        return False  # somebody writes it, it isn't ours to remove, or nobody can say
    finally:
        os.close(descriptor)
    return True


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


def remove(path: str) -> str:
    """What nobody needs, whatever it is; why it can't be removed, or nothing."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    except IsADirectoryError:  # a job may do anything
        shutil.rmtree(path, ignore_errors=True)
    except OSError as cause:
        return f"{path} can't be removed: {cause.strerror}"
    return ""


def remove_tree(path: str) -> None:
    """Remove what a job left; it may have shut its directories."""
    shutil.rmtree(path, ignore_errors=True)
    if os.path.isdir(path):
        for directory, names, _ in os.walk(path):  # from above: what was opened is looked into next
            for inside in (os.path.join(directory, name) for name in names):
                with contextlib.suppress(OSError):
                    if not os.path.islink(inside):
                        os.chmod(inside, 0o700)
        shutil.rmtree(path, ignore_errors=True)
