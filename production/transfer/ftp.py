"""Inputs from an FTP server: ``ftp://host[:port]/directory``, or ``ftps://`` for the same under TLS.

In come names below the archive's directory, out go whole files under their local names; next is the porter, which
runs several of these side by side. As with curl, the URL's directory begins where the login leads to; one that begins
with a second slash (``ftp://host//raw``) begins at the server's root. Names are UTF-8, or whatever bytes they are.

A file that breaks off stays as ``.part`` and is gone on with by REST, if it is large and this process wrote it, if the
server says that size and time of the source are the same, then and at the end, and if the last bytes that we have come
once more, the same: a server that doesn't heed REST, or another file under the name, can't make a file of two halves.
A time that is none, or less than a minute old when we began, proves nothing: such a file comes anew.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import ftplib
import os
import re
import ssl
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from typing import TypeVar

from production import course, disk, errors
from production.transfer import base, digest, listing, login, names, pool
from production.transfer import control as controls

T = TypeVar("T")

RESUMED = 1 << 20
"""Bytes: a smaller file isn't worth the questions, and comes anew."""
_OVERLAP = 64 << 10
"""Bytes that come once more when a file is gone on with."""
_FIRST_YEAR = 1980
"""A server that knows no time says 1970."""
_SETTLED = 60.0
"""Seconds since a file's last change before we trust its time; clocks differ by some."""
_MOST_LEFT = 256
"""Parts remembered; the oldest is removed."""
_LONGEST_LISTING = 64 << 20
"""Bytes; a directory of half a million files."""
_LEAVES = 3
"""Times in a row that a server may leave at one file before that is the file's trouble."""
_GREETING = 20.0
"""Seconds that a first login may take while somebody waits at the door."""
_UNSTAGE = 2.0
"""Seconds in which a server may answer that a recall is withdrawn."""
_NO_SUCH_COMMAND = ("500", "502", "504")


@dataclasses.dataclass(frozen=True, slots=True)
class Options:
    """How the archive is treated."""

    netrc: str = "~/.netrc"
    tries: int = 3
    """Logins that may be refused, in all, before it is given up."""
    first_byte: float = 1800.0
    """Seconds until a file's first byte: a robot may have to fetch the tape."""
    stall: float = 60.0
    """Seconds without a byte, or without an answer."""
    stage: str = "STAGE {}"
    """The server's command to bring a file from tape to disk, ``{}`` the path; empty: it has none."""
    unstage: str = ""
    """Takes that back, if the server has such a command."""
    checksum: bool = True
    """Whether the server is asked for its own checksum of each file, if it can tell one."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Begun:
    """What is known of a transfer that broke off; it is gone on with if the source is still the same."""

    size: int
    modified: str
    part: disk.Left
    digest: digest.Digest


@dataclasses.dataclass(frozen=True, slots=True)
class _Wanted:
    """One file."""

    path: str
    """As the server is asked for it."""
    local: str
    size: int | None
    """If it was asked for already."""


class _Anew(Exception):
    """What we have is not the beginning of what the server sends."""


class _Short(Exception):
    """The server says that it was all, but it wasn't."""


class _Wrong(Exception):
    """What came is not the file."""


class Ftp:
    """An archive behind FTP. Any number of threads may use it; each has a connection of its own."""

    def __init__(self, url: str, options: Options) -> None:
        """Touches no network. Raises: UsageError: the URL, or the netrc (missing, readable by others, without us)."""
        place, user, self._root = _parse(url)
        self._options = options
        logged = login.find(options.netrc, place.host, user)
        self._pool = pool.Pool(place, logged, options.stall, options.tries)
        self._url = f"{place.url}/{disk.shown(self._root)}"
        self._tape = bool(options.stage)
        self._lock = threading.Lock()
        self._begun: dict[str, _Begun] = {}
        self._leavings: dict[str, int] = {}
        """How often the server left at this file, after it had let us in."""

    def size(self, remote: str, waiting: Callable[[], None] = base.nobody) -> int | None:
        path = self._path(remote)
        return self._use(path, lambda control: self._size(control, path), waiting)

    def fetch(
        self,
        remote: str,
        local: str,
        progress: Callable[[int], None],
        size: int | None = None,
        received: Callable[[], None] = base.nobody,
    ) -> int:
        path, so_far = self._path(remote), course.SoFar(progress)
        begun = self._take_begun(local)
        try:
            return self._bring(_Wanted(path, local, size), begun, so_far, received)
        except _Anew:
            return self._bring(_Wanted(path, local, size), None, so_far, received)

    def recall(self, remote: str, waiting: Callable[[], None]) -> None:
        path = self._path(remote)
        if self._tape:
            try:
                self._use(path, lambda control: self._stage(control, path), waiting)
            except errors.ProductionError:
                raise
            except BaseException:  # out of ``waiting``: nobody wants it any more
                self._unstage(path)
                raise

    def greet(self) -> None:
        """Log in once, before anything depends on it. Raises: TransferWaits: it is away; LoginRefused."""
        try:
            self._pool.greet(_patience(_GREETING))
        except TimeoutError as late:
            raise errors.TransferWaits(f"{self._pool.place.url} is away: no answer in {_GREETING:.0f} s") from late

    def listing(self, directory: str) -> list[base.Entry]:
        path = self._path(directory) if directory else self._root
        return self._use(path or self._url, lambda control: self._list(control, path), base.nobody)

    def close(self) -> None:
        """Say goodbye to the server; parts that nobody went on with are removed."""
        self._pool.close()
        with self._lock:
            begun, self._begun = self._begun, {}
        for local, one in begun.items():
            disk.remove_left(local + ".part", one.part)

    def _bring(self, wanted: _Wanted, begun: _Begun | None, so_far: course.SoFar, received: Callable[[], None]) -> int:
        """The connection is given back before our disk is waited for: it can bring another file meanwhile."""
        with self._telling(wanted.path, so_far.again), contextlib.ExitStack() as stack:
            part = self._pool.use(lambda control: self._fetch(control, wanted, begun, so_far, stack), so_far.again)
            with self._lock:
                self._leavings.pop(wanted.path, None)
            received()
            part.sync()
            part.publish(wanted.local)
            return part.bytes

    # --- what is done with a connection ---

    def _size(self, control: controls.Control, path: str) -> int | None:
        try:
            reply = control.ask(f"SIZE {path}")
        except ftplib.error_perm as error:
            if not str(error).startswith(_NO_SUCH_COMMAND):
                raise
            return self._size_listed(control, path)
        size = listing.bytes_of(reply[4:].strip()) if reply.startswith("213") else None
        if size is None:
            raise ftplib.error_proto(f"no file has such a size: {reply}")
        return size

    def _size_listed(self, control: controls.Control, path: str) -> int | None:
        """For a server without SIZE. Source: RFC 3659, 7.3.1: the facts stand alone in the second line."""
        if "MLST" not in self._pool.features:
            return None
        lines = control.ask(f"MLST {path}").splitlines()
        facts = listing.facts_of(lines[1].strip().partition(" ")[0]) if len(lines) > 2 else {}
        size = listing.bytes_of(facts["size"]) if "size" in facts else None
        if size is None and "size" in facts:
            raise ftplib.error_proto(f"no file has such a size: {facts['size']:.100}")
        return size

    def _modified(self, control: controls.Control, path: str) -> str:
        """The source's time as the server says it; empty if it says none by which another file would be noticed."""
        try:
            reply = control.ask(f"MDTM {path}")
        except ftplib.error_perm:
            return ""
        return reply if _settled(reply, time.time()) else ""

    def _fetch(
        self,
        control: controls.Control,
        wanted: _Wanted,
        begun: _Begun | None,
        so_far: course.SoFar,
        stack: contextlib.ExitStack,
    ) -> disk.Part:
        """All of its bytes, checked; the part is in the stack, and not yet synced."""
        size = self._size(control, wanted.path) if wanted.size is None else wanted.size
        modified = self._modified(control, wanted.path) if size is not None and size >= RESUMED else ""
        if begun is not None and (not modified or (begun.size, begun.modified) != (size, modified)):
            begun = None
        disk.make_directory(os.path.dirname(wanted.local))
        way = self._checksum_way()
        part = stack.enter_context(disk.new(wanted.local + ".part", begun.part if begun else None))
        check = begun.digest if begun and part.bytes else way.new()
        try:
            self._receive(control, wanted.path, part, size, check, so_far)
            if begun is not None:
                self._see_it_unchanged(control, wanted.path, begun)
            self._confirm(control, wanted.path, way, check.hexdigest())
        except (controls.Cut, ftplib.error_temp, _Short):
            if modified and size is not None and part.bytes:
                self._keep_begun(wanted.local, _Begun(size, modified, part.leave(), check))
            raise
        return part

    def _receive(
        self,
        control: controls.Control,
        path: str,
        part: disk.Part,
        size: int | None,
        check: digest.Digest,
        so_far: course.SoFar,
    ) -> None:
        """The bytes of the source from where the part stands."""
        known = part.end(min(_OVERLAP, part.bytes))
        begin = part.bytes - len(known)
        resumed = bool(known)
        so_far.count = part.bytes
        try:
            with control.data(f"RETR {path}", self._options.first_byte, begin) as blocks:
                for block in _after(memoryview(known), blocks):
                    if size is not None and part.bytes + len(block) > size:
                        raise _Anew if resumed else _Wrong(f"more than the {size:,} bytes that it said")
                    part.write(block)
                    check.update(block)  # here: handing it to another thread takes longer than this does
                    so_far.tell(part.bytes)
        except ftplib.error_perm as error:
            if begin and str(error).startswith("5") and not str(error).startswith("550"):
                raise _Anew from error
            raise
        if size is not None and part.bytes < size:
            raise _Short(f"{part.bytes:,} of {size:,} bytes came")

    def _see_it_unchanged(self, control: controls.Control, path: str, begun: _Begun) -> None:
        """After two transfers of one file. Raises: _Anew: it was another file by the end."""
        if (self._size(control, path), self._modified(control, path)) != (begun.size, begun.modified):
            raise _Anew

    def _confirm(self, control: controls.Control, path: str, way: digest.Way, ours: str) -> None:
        """Ask the server for its checksum, if it has one to tell."""
        if not way.command:
            return
        try:
            reply = control.ask(way.command + path, self._options.first_byte)
        except ftplib.error_perm:
            return  # it lists the command, but not for this file
        quoted = rf"(?<![\w.]){re.escape(path)}(?![\w.])"  # a name may look like a checksum
        if way.agrees(ours, reply[:4] + re.sub(quoted, "", reply[4:])) is False:
            raise _Wrong(f"its {way.algorithm} is another than that of what came, {ours}: {disk.printable(reply)}")

    def _checksum_way(self) -> digest.Way:
        return digest.choose(self._pool.features) if self._options.checksum else digest.NO_WAY

    def _stage(self, control: controls.Control, path: str) -> None:
        try:
            control.ask(self._options.stage.replace("{}", path), self._options.first_byte)
        except ftplib.error_perm as error:
            if not str(error).startswith(_NO_SUCH_COMMAND):
                raise
            self._tape = False  # it has no tape, or doesn't tell: RETR is all that it takes

    def _unstage(self, path: str) -> None:
        """Withdraw a recall, where the server can, and does it soon: somebody waits for us to end."""
        if self._options.unstage:
            command = self._options.unstage.replace("{}", path)
            with contextlib.suppress(controls.Cut, ftplib.Error, errors.ProductionError, TimeoutError):
                self._pool.use(lambda control: control.ask(command), _patience(_UNSTAGE))

    def _list(self, control: controls.Control, path: str) -> list[base.Entry]:
        """From inside the directory: a LIST of what isn't there is empty on some servers, a CWD is refused."""
        command, parse = ("MLSD", listing.machine) if "MLST" in self._pool.features else ("LIST", listing.unix)
        try:
            if path:
                control.cwd(path)
            with control.data(command, self._options.first_byte) as blocks:
                text = _bounded(blocks)
        finally:
            control.pending = True  # it stands in another directory now: not for anybody else
        try:
            return parse(listing.lines_of(text.decode("utf-8", "surrogateescape")))
        except ValueError as error:
            raise ftplib.error_proto(f"a listing that can't be read: {error}") from None

    # --- names, and what went wrong ---

    def _path(self, remote: str) -> str:
        names.inside(remote, self._url)
        path = os.path.join(self._root, remote)
        if not _can_be_sent(path):
            raise names.lasting(
                errors.TransferError(
                    f"{disk.printable(remote)}: FTP can't ask for a name with a line end or half a letter: rename it"
                )
            )
        # Alone, these would be an option or a home directory to some servers.
        return path if path[0] not in "-~ " else f"./{path}"

    def _use(self, path: str, deed: Callable[[controls.Control], T], waiting: controls.Waiting) -> T:
        with self._telling(path, waiting):
            return self._pool.use(deed, waiting)

    @contextlib.contextmanager
    def _telling(self, path: str, waiting: controls.Waiting) -> Iterator[None]:
        """Let what went wrong leave as an error of this house. ``path``: as the server is asked for it."""
        what = f"{self._pool.place.url}: {disk.shown(path)}"
        try:
            yield
        except (_Short, _Wrong) as error:
            raise errors.TransferError(f"{what} is not what the server promised: {error}") from error
        except controls.Cut as cut:
            self._pool.probe(waiting)
            raise errors.TransferError(f"{what} broke off: {cut}") from cut
        except disk.Trouble as trouble:
            raise names.told(trouble) from trouble
        except ssl.SSLCertVerificationError as error:
            raise pool.untrusted(self._pool.place.url, error) from error
        except ftplib.Error as error:
            if pool.gone(error):
                raise self._left_at(path, pool.said(error)) from error
            if str(error).startswith("550"):
                raise errors.InputMissing(f"{what}: the archive says: {pool.said(error)}") from error
            raise errors.TransferError(f"{what}: the archive says: {pool.said(error)}") from error

    def _left_at(self, path: str, said: str) -> errors.TransferError:
        """The server let us in, then it left: if it does so each time at this file, it is the file's trouble."""
        with self._lock:
            times = self._leavings[path] = self._leavings.get(path, 0) + 1
            if times >= _LEAVES:
                del self._leavings[path]
        if times < _LEAVES:
            return errors.TransferWaits(f"{self._pool.place.url} is away: {said}")
        return errors.TransferError(f"{self._pool.place.url}: {disk.shown(path)}: the archive leaves each time: {said}")

    # --- parts that are gone on with ---

    def _take_begun(self, local: str) -> _Begun | None:
        with self._lock:
            return self._begun.pop(local, None)

    def _keep_begun(self, local: str, begun: _Begun) -> None:
        with self._lock:
            self._begun[local] = begun
            oldest = next(iter(self._begun)) if len(self._begun) > _MOST_LEFT else None
            dropped = self._begun.pop(oldest) if oldest else None
        if oldest and dropped:
            disk.remove_left(oldest + ".part", dropped.part)


def _patience(seconds: float) -> controls.Waiting:
    """Raises TimeoutError when it is called so much later."""
    end = time.monotonic() + seconds

    def look() -> None:
        if time.monotonic() >= end:
            raise TimeoutError

    return look


def _settled(reply: str, now: float) -> bool:
    """Whether this is the time of a file that hasn't changed for a while: within one second it may change unseen.

    Source: RFC 3659, 3.1 and 2.3: ``213 20261120194848.123``, UTC. What is older than FTP servers' disks is no time.
    """
    match = re.fullmatch(r"213 ([0-9]{14})(?:\.[0-9]{1,9})?\s*", reply)
    try:
        when = datetime.datetime.strptime(match[1] + "+0000", "%Y%m%d%H%M%S%z") if match else None
    except ValueError:
        return False
    return when is not None and when.year >= _FIRST_YEAR and when.timestamp() + _SETTLED < now


def _after(known: memoryview, blocks: Iterator[memoryview]) -> Iterator[memoryview]:
    """What comes after the bytes that we have already. Raises: _Anew: these are others."""
    for block in blocks:
        again = min(len(known), len(block))
        if again and block[:again] != known[:again]:
            raise _Anew
        known = known[again:]
        if again < len(block):
            yield block[again:]
    if known:
        raise _Anew


def _bounded(blocks: Iterator[memoryview]) -> bytes:
    """All of a listing. Raises: error_proto: it has no end."""
    text = bytearray()
    for block in blocks:
        text += block
        if len(text) > _LONGEST_LISTING:
            raise ftplib.error_proto(f"a listing of more than {_LONGEST_LISTING >> 20} MB: name a smaller directory")
    return bytes(text)


def _can_be_sent(path: str) -> bool:
    try:
        path.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return not any(sign in path for sign in "\r\n\0")


def _parse(url: str) -> tuple[controls.Place, str, str]:
    """Where the server is, the user if one is named, and the directory as the server is asked for it.

    Raises: UsageError. The URL isn't quoted: it may hold a password.
    """
    try:
        parts = urllib.parse.urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        parts, host, port = urllib.parse.urlsplit(""), None, None
    if not host or parts.scheme not in {"ftp", "ftps"}:
        raise errors.UsageError("the archive's URL is not ftp://[user@]host[:port]/directory, or the same with ftps")
    if parts.password is not None:
        raise errors.UsageError(
            f"the archive's URL holds a password: take it out, and write it into ~/.netrc for {host}"
        )
    if parts.query or parts.fragment:
        raise errors.UsageError(f"the archive's URL for {host}: write %3F for ? and %23 for # in the directory")
    user = urllib.parse.unquote(parts.username or "", errors="surrogateescape")
    root = urllib.parse.unquote(parts.path[1:], errors="surrogateescape")
    root = root.rstrip("/") or root[:1]
    if not _can_be_sent(user + root):
        raise errors.UsageError(f"the archive's URL for {host} holds a line end")
    secure = parts.scheme == "ftps"
    context = ssl.create_default_context() if secure else None
    return controls.Place(host, port or 21, secure, context), user, root
