"""What both commands share: an argument parser that says one line, and never touches anything before all is well."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import errno
import io
import os
import re
import resource
import sys
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NoReturn

from production import disk, errors, settings
from production.cli import door

if TYPE_CHECKING:
    from _typeshed import SupportsWrite


LEAST_FILES = 64
"""Descriptors, below which we don't begin: the database's, the transfers', those of /proc, and some for the jobs."""

_FEW_FILES = "too few open files allowed: raise ulimit -n"


class Help(argparse.HelpFormatter):
    """Fills each paragraph, but for those that have lines of their own."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        paragraphs = text.strip("\n").split("\n\n")
        return "\n\n".join(
            one if "\n" in one else super(Help, self)._fill_text(one, width, indent) for one in paragraphs
        )


class Parser(argparse.ArgumentParser):
    """Complains in one line on stderr, exit 2."""

    def __init__(self, **keywords: object) -> None:
        keywords = {"formatter_class": Help} | keywords
        super().__init__(allow_abbrev=False, **keywords)  # type: ignore[arg-type]  # argparse's own keywords

    def error(self, message: str) -> NoReturn:
        """Raises: UsageError."""
        if choice := _CHOICE.search(message):
            message += _meant(choice[1], re.findall(r"[\w-]+", choice[2]))
        raise errors.UsageError(f"{message}; see {self.prog} --help")

    def parse_known_args(  # type: ignore[override]  # argparse's has overloads for namespaces of other types
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """As argparse does it; but what a command doesn't know, it refuses itself, as it knows what was meant."""
        given, unknown = super().parse_known_args(args, namespace)
        many = next((action.dest for action in self._actions if action.nargs == "*"), None)
        if many is not None:  # argparse takes no words for it behind an option
            getattr(given, many).extend(word for word in unknown if not word.startswith("-"))
            unknown = [word for word in unknown if word.startswith("-")]
        if unknown:
            options = re.findall(r"(?<!\S)--\w+", self.format_help())
            self.error(f"unrecognized arguments: {' '.join(unknown)}{_meant(unknown[0].partition('=')[0], options)}")
        return given, unknown

    def print_help(self, file: SupportsWrite[str] | None = None) -> None:  # noqa: ARG002  argparse's signature
        """On stdout, and not in silence if it can't be written."""
        say(self.format_help().rstrip())


_CHOICE = re.compile(r"invalid choice: '(.*)' \(choose from (.*)\)", re.DOTALL)
"""What argparse says of a command that there isn't."""


def _meant(word: str, words: Collection[str]) -> str:
    near = difflib.get_close_matches(word, words, 1)
    return f"; did you mean {near[0]}?" if near else ""


def say(text: str, end: str = "\n") -> None:
    """What a command answers, on stdout.

    Raises: ProductionError; BrokenPipeError: the reader went away.
    """
    with _writing():
        print(text, end=end, flush=True)


def pass_on(block: bytes | memoryview) -> None:
    """Bytes of a file, on stdout as they are.

    Raises: ProductionError; BrokenPipeError: the reader went away.
    """
    with _writing():
        sys.stdout.buffer.write(block)
        sys.stdout.buffer.flush()


@contextlib.contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except OSError as cause:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python tries once more at its end
        if isinstance(cause, BrokenPipeError):
            raise
        raise errors.ProductionError(f"stdout: {cause.strerror}") from cause


def _complain(name: str, text: str) -> None:
    with contextlib.suppress(OSError):  # nobody can be told, but by the exit code
        print(f"{name}: {disk.printable(text)}", file=sys.stderr)


def load_settings(config: str | None, flags: Mapping[str, object]) -> settings.Settings:
    """Settings of this process's surroundings."""
    home = os.path.expanduser("~")
    if 0 <= resource.getrlimit(resource.RLIMIT_NOFILE)[0] < LEAST_FILES:
        raise errors.ProductionError(f"{_FEW_FILES} (to {LEAST_FILES} or more)")
    try:
        here = os.getcwd()
    except FileNotFoundError:
        raise errors.UsageError("the working directory is gone; cd somewhere else") from None
    return settings.load(config=config, flags=flags, environ=os.environ, cwd=here, home=home)


def database(chosen: settings.Settings) -> str:
    """The database of the settings, which is there; else it was mostly the wrong directory to start in.

    Raises: UsageError.
    """
    if not os.path.lexists(chosen.database):
        read = ", ".join(disk.shown(path) for path in chosen.files[1:]) or "no production.toml was found here"
        raise errors.UsageError(
            f"database {disk.shown(chosen.database)} is not there (settings: {read}); are you in the right directory? "
            "A new one is made by: production init"
        )
    return chosen.database


def open_streams() -> None:
    """See that 0, 1 and 2 are open (``2>&-``): else a database gets such a number, and Python has no sys.stderr."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w", encoding="utf-8"))  # noqa: SIM115  for good
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that knows no μ gets \\u03bc


def ending(name: str, command: Callable[[Sequence[str]], int], arguments: Sequence[str] | None) -> int:
    """Run a command; its errors become one line and an exit code, never a traceback."""
    open_streams()
    try:
        return _told(name, command, sys.argv[1:] if arguments is None else arguments)
    except KeyboardInterrupt:
        return door.INTERRUPTED
    finally:
        door.be_deaf()


def _told(name: str, command: Callable[[Sequence[str]], int], arguments: Sequence[str]) -> int:
    try:
        return command(arguments)
    except errors.ProductionError as error:
        _complain(name, str(error))
        return error.exit_code
    except BrokenPipeError:
        return 1  # nothing to say, nothing lost
    except Exception as error:  # noqa: BLE001  the user gets one line, never a traceback
        _complain(name, unexpected(error))
        return 1


def unexpected(error: Exception) -> str:
    """One line for an error that nobody thought of, with the place where it happened; or what the system lacks."""
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        return _FEW_FILES
    if isinstance(error, OSError) and error.errno in (errno.EFBIG, errno.ENOSPC, errno.EDQUOT):
        return str(disk.Trouble("write", error.filename or "a file", error))
    frames = traceback.extract_tb(error.__traceback__)
    where = f"{os.path.basename(frames[-1].filename)}:{frames[-1].lineno}" if frames else "?"
    return f"unexpected {type(error).__name__}: {error} (at {where}; please report this)"
