"""The batch system's commands on another machine, over SSH: in comes an argv, out comes what it said there.

Before it is ``client``, which doesn't know where it is; behind it ``ssh.connection``. Whatever the account's login shell
is, it is given the same few words, the same for every command; what is to be run follows on the standard input, for sh.
Around what the command says stand marks, with how it ended: what a login says before, or after, is nobody's answer.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import secrets
import select
import shlex
import signal
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from production import child, errors
from production.batch import scheduler, shell
from production.ssh import connection, dial
from production.ssh import patience as patience_

if TYPE_CHECKING:
    import paramiko

LOGIN = """exec /bin/sh -c 'IFS= read -r x; eval "$(printf "$x")"'"""
"""What every login shell understands alike: sh and its kin, csh, fish. No backslash, no ``!``, one line."""
NOISE = 1 << 22
"""Bytes that a login may say of its own accord."""
_KILL = 3.0
"""Seconds for ending a command that took too long."""
_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-=+:,./@ ")

_AROUND = """m={mark}
printf '\\n%s %s\\n' $m $$; printf '\\n%s\\n' $m >&2
unset rp_none $(env | sed -n {filters})
{variables}
if command -v {program} >/dev/null 2>&1; then (exec {command}); s=$?; else s=missing; fi
printf '\\n%s %s\\n' $m $s; printf '\\n%s\\n' $m >&2"""
"""Run by sh. The command runs in a process of its own, so that somebody is left to say how it ended."""


class There:
    """The Shell of another machine."""

    def __init__(
        self,
        way: connection.Connection,
        leaving: Callable[[], bool] = lambda: False,
        unwanted: Callable[[], bool] = lambda: False,
    ) -> None:
        """``leaving``: whether somebody wants to leave at once, whatever a command does; ``unwanted``: whether it is to be ended."""
        self._way = way
        self._leaving = leaving
        self._unwanted = unwanted

    def run(self, argv: Sequence[str], *, input: bytes = b"", timeout: float) -> scheduler.Completed:
        end = self.hear(argv, input=input, timeout=timeout)
        return scheduler.Completed(
            end.said.decode("utf-8", "replace"), end.complained.decode("utf-8", "replace"), end.status or 0
        )

    def hear(self, argv: Sequence[str], *, input: bytes = b"", timeout: float) -> child.End:
        """As ``run``, for who needs every byte as it was said."""
        waiting = patience_.of(timeout, lambda: self._leaving() or self._unwanted())
        talk = _Talk(secrets.token_hex(16))
        name = self._way.host.name
        try:
            with self._way.session(LOGIN, waiting) as channel:
                trouble = _exchange(channel, line(argv, talk.mark) + input, talk, waiting)
        except errors.RemoteError as cause:
            # nothing was said yet, so nothing was run
            raise errors.BatchUnasked(str(cause)) from cause
        if trouble in (_LATE, _LOUD):
            self._end(talk)
        if trouble == _LATE:
            raise errors.BatchUnanswered(f"{argv[0]} {self._late(timeout, name)}")
        if trouble:
            said = child.last_line(bytes(talk.out.text)) if not talk.out.begun else ""
            raise errors.BatchUnanswered(f"{argv[0]}: {trouble.format(name)}" + (f": {said}" if said else ""))
        return _end(argv, talk, name)

    def _late(self, timeout: float, name: str) -> str:
        if self._leaving():
            return f"was not waited for on {name}: the manager is leaving"
        return f"was ended on {name}" if self._unwanted() else f"took longer than {timeout:g} s on {name}"

    def missing(self, programs: Sequence[str], timeout: float) -> list[str]:
        """Those of these programs that aren't there. Raises: BatchUnanswered."""
        script = 'for each; do command -v "$each" >/dev/null || echo "$each"; done'
        return self.run(["sh", "-c", script, "sh", *programs], timeout=timeout).stdout.split()

    def time(self, timeout: float) -> int:
        """The time there, in whole seconds since 1970. Raises: BatchUnanswered."""
        told = self.run(["date", "+%s"], timeout=timeout).stdout.strip()
        if not told.isdecimal():
            raise errors.BatchUnanswered(f"date: can't be read on {self._way.host.name}: {told[:80]}")
        return int(told)

    def _end(self, talk: _Talk) -> None:
        """End what still runs there of a command: a session there is a process group."""
        process = talk.process()
        if not process or self._leaving():
            return
        waiting = patience_.of(_KILL, self._leaving)
        killing = ["sh", "-c", 'kill -s KILL -- -"$1" || kill -s KILL "$1"', "sh", str(process)]
        other = _Talk(secrets.token_hex(16))
        # If it can't be reached it will find that nobody listens.
        with contextlib.suppress(errors.RemoteError), self._way.session(LOGIN, waiting) as channel:
            _exchange(channel, line(killing, other.mark), other, waiting)

    def close(self) -> None:
        self._way.close()


_LATE = "late"
_BROKE = "the connection to {} broke"
_MUTE = "the login on {} ended before it was run"
_LOUD = f"said more than {shell.LONGEST >> 20} MB on {{}}"


@dataclasses.dataclass(slots=True)
class _Stream:
    """One of the two streams."""

    start: bytes
    """The beginning of both marks."""
    text: bytearray = dataclasses.field(default_factory=bytearray)
    marks: list[tuple[int, int]] = dataclasses.field(default_factory=list)
    """From, to: of the lines that are marks."""
    seen: int = 0
    """So far there is no other."""

    def hear(self, block: bytes) -> None:
        self.text += block
        while len(self.marks) < 2:
            at = self.text.find(self.start, self.seen)
            end = self.text.find(b"\n", at + len(self.start)) if at >= 0 else -1
            if end < 0:
                self.seen = at if at >= 0 else max(self.seen, len(self.text) - len(self.start))
                return
            self.marks.append((at, end + 1))
            self.seen = end + 1

    @property
    def begun(self) -> bool:
        return bool(self.marks)

    @property
    def over(self) -> bool:
        return len(self.marks) == 2

    def word(self, number: int) -> str:
        """What stands behind a mark."""
        at, end = self.marks[number]
        return bytes(self.text[at + len(self.start) : end]).decode("ascii", "replace").strip()

    def between(self) -> bytes:
        return bytes(self.text[self.marks[0][1] : self.marks[1][0]])

    def loud(self) -> bool:
        """Whether it says more than we can hold."""
        return len(self.text) > (shell.LONGEST if self.begun else 0) + NOISE


class _Talk:
    """What was said of one command."""

    def __init__(self, mark: str) -> None:
        self.mark = mark
        self.out = _Stream(b"\n" + mark.encode())
        self.err = _Stream(b"\n" + mark.encode())

    def process(self) -> int:
        """The number of the session's process there; 0 if it isn't known, or has ended."""
        if not self.out.begun or self.out.over:
            return 0
        word = self.out.word(0)
        return int(word) if word.isdecimal() else 0


def line(argv: Sequence[str], mark: str) -> bytes:
    """One line for the login's ``read``: the script, in signs that mean nothing to printf, and everything else in octal."""
    filters = " ".join(f"-e 's/^\\({name}[A-Za-z0-9_]*\\)=.*/\\1/p'" for name in shell.FILTERS)
    variables = "; ".join(f"{name}={shlex.quote(value)}; export {name}" for name, value in shell.ENGLISH.items())
    script = _AROUND.format(
        mark=mark, filters=filters, variables=variables, program=shlex.quote(argv[0]), command=shlex.join(argv)
    )
    signs = (chr(sign) if sign in _PLAIN else f"\\{sign:03o}" for sign in os.fsencode(script))
    return "".join(signs).encode() + b"\n"


def _exchange(channel: paramiko.Channel, sent: bytes, talk: _Talk, waiting: patience_.Patience) -> str:
    """Say all of it and hear all that is said; what went wrong, if something did."""
    channel.setblocking(False)
    poll = select.poll()
    poll.register(channel.fileno(), select.POLLIN)
    left = sent
    while True:
        ending = channel.eof_received or channel.closed  # looked at first: what came before it is heard below
        left = _say(channel, left)
        _hear(channel, talk)
        if talk.out.over and talk.err.over:
            return ""
        if ending:
            return _BROKE if talk.out.begun or dial.dead(channel) else _MUTE
        if talk.out.loud() or talk.err.loud():
            return _LOUD
        if not waiting.left():
            return _LATE
        poll.poll(1000 * waiting.slice())


def _say(channel: paramiko.Channel, left: bytes) -> bytes:
    """As much as it takes now; what is left. Who has hung up may have said why before."""
    import paramiko

    try:
        while left and channel.send_ready():
            left = left[channel.send(left[: 1 << 15]) :]
            if not left:
                channel.shutdown_write()
    except (paramiko.SSHException, EOFError, OSError):
        return b""
    return left


def _hear(channel: paramiko.Channel, talk: _Talk) -> None:
    """What has come; of a connection that broke meanwhile the rest is nobody's."""
    import paramiko

    with contextlib.suppress(paramiko.SSHException, EOFError, OSError):
        _take(channel, talk)


def _take(channel: paramiko.Channel, talk: _Talk) -> None:
    for ready, receive, stream in (
        (channel.recv_ready, channel.recv, talk.out),
        (channel.recv_stderr_ready, channel.recv_stderr, talk.err),
    ):
        while ready() and not stream.loud():
            stream.hear(receive(1 << 16))


def lacks(program: str, name: str) -> str:
    """What is said where there is no such program."""
    return (
        f"{program} is not on the PATH of {name}; let the .bashrc there (.zshenv, .cshrc) load the cluster's environment,"
        " before it looks whether the shell is interactive"
    )


def _end(argv: Sequence[str], talk: _Talk, name: str) -> child.End:
    """Raises: BatchError: there is no such command. BatchUnanswered: it was killed, or said too much."""
    code = talk.out.word(1)
    if code == "missing":
        raise errors.BatchError(lacks(argv[0], name))
    if not re.fullmatch("[0-9]{1,3}", code):
        raise errors.BatchUnanswered(f"{argv[0]} ended on {name}, nobody knows how")
    out, err = talk.out.between(), talk.err.between()
    if int(code) - 128 in list(signal.Signals):  # as sh tells it
        last = child.last_line(err) or child.last_line(out)
        told = f"{argv[0]} was killed by {signal.Signals(int(code) - 128).name} on {name}"
        raise errors.BatchUnanswered(f"{told}: {last}" if last else told)
    if len(out) > shell.LONGEST:
        raise errors.BatchUnanswered(f"{argv[0]} said more than {shell.LONGEST >> 20} MB")
    return child.End(int(code), out, err)
