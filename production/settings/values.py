"""What one value in the settings may be: a table of ranges, and a reader for each sort of value.

A reader takes the place (for the message) and the value as TOML has it, and gives it as the house wants it:
paths absolute, times in seconds, sizes in bytes. Next room: ``settings`` says which key has which reader.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import os
import posixpath
import pwd
import re
import urllib.parse
from collections.abc import Callable, Collection, Mapping
from typing import Any

from production import errors
from production.settings import layer, template

Reader = Callable[[layer.Place, object], Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Range:
    """The numbers that are allowed; as text it is the rule, for messages and ``--help``."""

    low: float
    high: float
    what: str = "a whole number"
    above: bool = False
    """``low`` itself is refused."""

    @property
    def whole(self) -> bool:
        return self.what == "a whole number"

    def __contains__(self, number: float) -> bool:
        return self.low <= number <= self.high and not (self.above and number == self.low)

    def __str__(self) -> str:
        if self.above:
            return f"{self.what}, more than {self.low} and at most {self.high}"
        return f"{self.what} from {self.low} to {self.high}"


RANGES: Mapping[str, Range] = {
    "pause": Range(0.05, 3600, "seconds"),
    "nproc": Range(1, 10000),
    "nprep": Range(0, 10000),
    "spacelim": Range(1, 100, "per cent, e.g. 90", above=True),
    "lease": Range(10, 86400, "seconds"),
    "niceness": Range(0, 19),
    "grace": Range(0, 3600, "seconds"),
    "consecutive": Range(1, 1000),
    "archive.transfers": Range(1, 16),
    "archive.recall": Range(0, 10000),
    "archive.first_byte": Range(1, 86400, "seconds"),
    "archive.stall": Range(1, 3600, "seconds"),
    "archive.tries": Range(1, 100),
    "quota.interval": Range(1, 3600, "seconds"),
    "batch.poll": Range(0.05, 3600, "seconds"),
    "batch.tasks": Range(1, 1_000_000),
    "cores": Range(1, 1024),
    "retry.limit": Range(1, 100),
    "retry.pause": Range(0, 86400, "seconds"),
    "retry.factor": Range(1, 100, "a number"),
    "retry.longest": Range(0, 604800, "seconds"),
}
"""Every number a user may set."""

_HOST = r"(?:[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}@)?[A-Za-z0-9][A-Za-z0-9._-]{0,252}(?::[1-9][0-9]{0,4})?"
_TIME = re.compile(r"(?:(\d{1,3})-)?(\d{1,4}):([0-5]\d):([0-5]\d)")
_TIME_WITH_UNIT = re.compile(r"(\d{1,8}(?:\.\d{1,6})?) ?([smhd])")
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,6})?) ?([KMGT])(?:i?B)?")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_BYTES = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_LONGEST_TIME = 366 * 86400
_SMALLEST_LARGE = 2**20
_LARGEST_SIZE = 2**50

_TIME_RULE = 'seconds, or a text as "1:30:00" or "90m", at most 366 days'
_SIZE_RULE = 'bytes, or a text as "2G" (K, M, G, T: powers of 1024)'


def similar(name: object, names: Collection[str]) -> str:
    """``; did you mean "script"?``, or the names there are if none is near."""
    near = difflib.get_close_matches(str(name), names, 1)
    if near:
        return f"; did you mean {layer.show(near[0])}?"
    return f"; there is {', '.join(sorted(names))}" if names else ""


def number(name: str) -> Reader:
    """Reader of a number in ``RANGES[name]``; from the command line it may still be text."""
    allowed = RANGES[name]

    def read(place: layer.Place, value: object) -> float:
        found: Any = _from_text(value, allowed.whole) if place.layer.is_flags else value
        if not _is_number(found, allowed.whole) or found not in allowed:
            raise place.refuse(value, str(allowed))
        return found if allowed.whole else float(found)

    return read


def _from_text(value: object, whole: bool) -> object:
    if not isinstance(value, str):
        return value
    if re.fullmatch(r"[+-]?[0-9]{1,18}", value):
        return int(value)
    if not whole and re.fullmatch(r"[+-]?([0-9]{1,18}\.?[0-9]{0,18}|\.[0-9]{1,18})", value):
        return float(value)
    return value


def _is_number(value: Any, whole: bool = False) -> bool:
    """Whether it is a number; True is none, and neither are nan and inf."""
    if isinstance(value, float):
        return not whole and math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool)


def switch(place: layer.Place, value: object) -> bool:
    """Read a true or false."""
    if not isinstance(value, bool):
        raise place.refuse(value, "true or false")
    return value


def text(place: layer.Place, value: object) -> str:
    """Read any text."""
    if not isinstance(value, str) or "\0" in value:
        raise place.refuse(value, "a text")
    return value


def word(place: layer.Place, value: object) -> str:
    """Read a name that goes to a command: letters, digits and ``_.-``, a letter first."""
    found = text(place, value)
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]{0,63}", found):
        raise place.refuse(value, "a name of letters, digits and _.-, a letter first")
    return found


def host(place: layer.Place, value: object) -> str:
    """Read another machine as people write it behind ``ssh``; empty: this one."""
    found = text(place, value)
    if found and not re.fullmatch(_HOST, found):
        raise place.refuse(value, 'a host as behind ssh: "login.cluster", "alice@login.cluster", "login.cluster:2222"')
    return found


def there(place: layer.Place, value: object) -> str:
    """Read a directory of another machine, of our own: absolute, or below the account's HOME there."""
    found = text(place, value)
    if found and (not re.match(r"~?/+[^/]", found) or not found.isprintable()):
        raise place.refuse(value, 'an absolute path there, or one below the HOME there: "~/production"')
    return found


def parted(where: str) -> tuple[str, str]:
    """Host, and directory there if one is said: ``login:2222:/scratch/mu``, as ``scp`` has it."""
    found = re.fullmatch(f"({_HOST}):(~?/.+)", where, re.DOTALL)
    return (found[1], found[2]) if found else (where, "")


def choice(*choices: str) -> Reader:
    """Reader of one of a few words."""

    def read(place: layer.Place, value: object) -> str:
        if value not in choices:
            raise place.refuse(value, " or ".join(f'"{one}"' for one in choices))
        return str(value)

    return read


def array(reader: Reader) -> Reader:
    """Reader of an array whose values are all of one sort."""

    def read(place: layer.Place, value: object) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise place.refuse(value, "an array of texts, in [ ]")
        return tuple(reader(place.inside(number), one) for number, one in enumerate(value))

    return read


def table(readers: Mapping[str, Reader]) -> Reader:
    """Reader of a table with known keys."""

    def read(place: layer.Place, value: object) -> dict[str, Any]:
        found = _mapping(place, value)
        for key in found:
            if key not in readers:
                raise place.inside(key).wrong(f"no such key{similar(key, readers)}")
        return {key: readers[key](place.inside(key), one) for key, one in found.items()}

    return read


def named(reader: Reader, name: Callable[[layer.Place], None]) -> Reader:
    """Reader of a table whose keys are names that users choose; ``name`` refuses the bad ones."""

    def read(place: layer.Place, value: object) -> dict[str, Any]:
        found = _mapping(place, value)
        for key in found:
            name(place.inside(key))
        return {key: reader(place.inside(key), one) for key, one in found.items()}

    return read


def _mapping(place: layer.Place, value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise place.refuse(value, "a table")
    return value


def identifier(kind: str, reserved: Collection[str]) -> Callable[[layer.Place], None]:
    """Refuses what can't be the name of a table or column: only ``[a-z][a-z0-9_]*``, none that is taken."""

    def check(place: layer.Place) -> None:
        name = str(place.key[-1])
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", name):
            raise place.wrong(f"no name for {kind}; small letters, digits and _, a letter first, at most 40")
        if name in reserved or name.startswith("sqlite_"):
            raise place.wrong(f"no name for {kind}: it already means something else; choose another")

    return check


def variable(place: layer.Place) -> None:
    """Refuse what can't be an environment variable."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", str(place.key[-1])):
        raise place.wrong("no name for an environment variable")
    if place.key[-1] == "IFS":
        raise place.wrong("would break the shell that runs the script; set it in the script")


def time(place: layer.Place, value: object) -> float | None:
    """Read a duration, in seconds; an empty text leaves it to the site."""
    if value == "":
        return None
    seconds: Any = _seconds(value) if isinstance(value, str) else value
    if not _is_number(seconds) or not 1 <= seconds <= _LONGEST_TIME:
        raise place.refuse(value, _TIME_RULE)
    return float(seconds)


def _seconds(value: str) -> float | None:
    if found := _TIME.fullmatch(value):
        days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
        return 86400 * days + 3600 * hours + 60 * minutes + seconds
    if found := _TIME_WITH_UNIT.fullmatch(value):
        return float(found[1]) * _SECONDS[found[2]]
    return None


def size(place: layer.Place, value: object) -> int:
    """Read a number of bytes; K, M, G and T are powers of 1024."""
    found: object = value
    if isinstance(value, str) and (parts := _SIZE.fullmatch(value)):
        found = int(float(parts[1]) * _BYTES[parts[2]])
    if isinstance(found, bool) or not isinstance(found, int) or not 0 <= found <= _LARGEST_SIZE:
        raise place.refuse(value, _SIZE_RULE)
    return found


def large(place: layer.Place, value: object) -> int | None:
    """Read a job's memory or a disk's limit, in bytes; an empty text leaves it to the site."""
    if value == "":
        return None
    found = size(place, value)
    if found < _SMALLEST_LARGE:  # somebody wrote 2 and meant 2G
        raise place.refuse(value, f"{_SIZE_RULE}, at least 1M")
    return found


def path(place: layer.Place, value: object) -> str:
    """Read a path and make it absolute: relative ones start where the file is, ``~`` at home; empty stays empty."""
    return absolute(place, text(place, value)) if value != "" else ""


def absolute(place: layer.Place, path: str) -> str:
    """The path from the root on. Nothing else is expanded: a ``$`` is a ``$``."""
    if path.startswith("$"):
        raise place.wrong("$ is not expanded in a path; write ~ for the home directory")
    if path.startswith("~"):
        path = _from_home(place, path)
    path = os.path.join(place.layer.directory, path)
    if not path.isascii() and path != path.encode("utf-8", "replace").decode():
        raise place.wrong(f"{path!a} is no UTF-8 text, so the database can't remember it; rename the directory")
    # Behind a symlink a/.. isn't here; such a path is left to the kernel.
    return path if ".." in path.split("/") else os.path.normpath(path)


def _from_home(place: layer.Place, path: str) -> str:
    user, _, rest = path[1:].partition("/")
    try:
        home = pwd.getpwnam(user).pw_dir if user else place.layer.home
    except KeyError:
        raise place.wrong(f"no such user: ~{user}") from None
    return os.path.join(home, rest.lstrip("/")) if rest else home


def command(place: layer.Place, value: object) -> tuple[str, ...]:
    """Read an argv; its program is looked for in the PATH, or with a ``/`` in it is a path."""
    words: tuple[str, ...] = array(text)(place, value)
    if words and ("/" in words[0] or words[0].startswith("~")):
        return (absolute(place.inside(0), words[0]), *words[1:])
    return words


def database(place: layer.Place, value: object) -> str:
    """Read where the database is: a path, or a URL for a server."""
    where = text(place, value)
    if where == "":
        raise place.wrong("empty; the database's path")
    if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", where):
        return absolute(place, where)
    _refuse_password(place, where)
    return where


def directory(place: layer.Place, value: object) -> str:
    """Read the path of a directory that there must be."""
    where = path(place, value)
    if where == "":
        raise place.wrong("empty; the path of a directory")
    return where


_SCHEMES = ("ftp", "ftps", "sftp")
_ARCHIVE_RULE = 'a directory, "file:/directory", "ftp://host/directory", "ftps://…" or "sftp://…"'


def archive(place: layer.Place, value: object) -> str:
    """Read where the archive is: an absolute path (also for ``file:``), or the URL of a server; empty: none."""
    where = text(place, value).strip()
    scheme, colon, rest = where.partition(":")
    if not colon or not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", scheme):
        _refuse_password(place, where)  # a URL in disguise: a path is quoted wherever it isn't found
        return path(place, where)
    if scheme.lower() == "file":
        return _file_url(place, rest)
    # The messages never repeat the value: there may be a password in it, however badly it is written.
    _refuse_password(place, where)
    if scheme.lower() not in _SCHEMES:
        raise place.wrong(f"{scheme}: is no archive we know; {_ARCHIVE_RULE}; a path with a colon: ./{scheme}:…")
    if not _host(where):
        raise place.wrong(f"no host in the URL; {_ARCHIVE_RULE}")
    if not _port_is_right(where):
        raise place.wrong("no such port in the URL; a whole number from 1 to 65535")
    return where


def _refuse_password(place: layer.Place, url: str) -> None:
    # Without a parser, as it mustn't slip through in a URL no parser understands: name:secret@, before any path.
    if re.match(r"[^:]+:/*[^/@]*:[^/]*@", url) or re.search(r"//[^/]*:[^/]*@", url):
        mend = "use a key or an agent" if url.lower().startswith("sftp:") else "put it in ~/.netrc"
        raise place.wrong(f"no password in the URL; {mend}")


def _host(url: str) -> str:
    try:
        return urllib.parse.urlsplit(_with_slashes(url)).hostname or ""
    except ValueError:
        return ""


def _port_is_right(url: str) -> bool:
    try:
        return urllib.parse.urlsplit(_with_slashes(url)).port != 0
    except ValueError:
        return False


def _with_slashes(url: str) -> str:
    return url if "://" in url else url.replace(":", "://", 1)


def order(place: layer.Place, value: object) -> str:
    """Read a command for the archive's server, with one ``{}`` for the file; empty: it knows none."""
    found = text(place, value)
    if found and (found.count("{}") != 1 or not found.isprintable()):
        raise place.refuse(value, 'one line with one {} for the file, as "STAGE {}"; empty: the server knows none')
    return found


def _file_url(place: layer.Place, rest: str) -> str:
    if rest.startswith("//"):
        host, slash, where = rest[2:].partition("/")
        if host not in ("", "localhost"):
            raise place.wrong("a file: URL has no host; file:/directory")
        rest = slash + where
    where = urllib.parse.unquote(rest, errors="surrogateescape")
    if not where or "\0" in where:
        raise place.wrong(f"no directory in the URL; {_ARCHIVE_RULE}")
    return absolute(place, where)


def inside(place: layer.Place, value: object) -> str:
    """Read a path, maybe a template, that stays inside its directory; empty stays empty."""
    found = text(place, value)
    if not found:
        return found
    if found.startswith(("/", "~")):
        raise place.refuse(value, "a relative path")
    if ".." in found.split("/"):
        raise place.refuse(value, 'a path without ".."')
    if posixpath.normpath(found) == "." or found.endswith("/") or not found.isprintable():
        raise place.refuse(value, "a relative path, without / at its end")
    return found


def checked(place: layer.Place, pattern: str, names: Collection[str] = ()) -> None:
    """Refuse a template with a field that isn't there or can't be formatted."""
    try:
        template.check(pattern, names)
    except errors.UsageError as error:
        raise place.wrong(str(error)) from None
