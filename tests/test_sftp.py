"""Conversations over a connection that dies while something is said: whatever the library raises, it is broken."""

from __future__ import annotations

import contextlib
import types
from typing import cast

import paramiko
import pytest

from production.ssh import connection, patience, sftp, stream, sums


class Dying:
    """A channel whose connection dies when we say that there is room for more, or anything else."""

    def __init__(self, death: Exception, *, saying: bool) -> None:
        self._death, self._saying = death, saying

    def settimeout(self, seconds: float) -> None: ...

    def send(self, block: bytes) -> int:
        if self._saying:
            raise self._death
        return len(block)

    def recv(self, _most: int) -> bytes:
        raise self._death

    def get_transport(self) -> types.SimpleNamespace:
        return types.SimpleNamespace(is_active=lambda: False, join=lambda _seconds: None)


class Slow:
    """A channel that has ended as its connection breaks, which says so only when it is waited for."""

    def __init__(self) -> None:
        self._active = True

    def settimeout(self, seconds: float) -> None: ...

    def send(self, block: bytes) -> int:
        return len(block)

    def sendall(self, block: bytes) -> None: ...

    def recv(self, _most: int) -> bytes:
        return b""

    def get_transport(self) -> Slow:
        return self

    def is_active(self) -> bool:
        return self._active

    def join(self, _seconds: float) -> None:
        self._active = False


@pytest.mark.parametrize("saying", [True, False])
@pytest.mark.parametrize("death", [EOFError(), OSError("Socket is closed"), paramiko.SSHException("rekeying")])
def test_a_connection_that_dies_is_a_broken_one(death: Exception, saying: bool) -> None:
    channel = cast(paramiko.Channel, Dying(death, saying=saying))
    with pytest.raises(stream.Broken, match="the connection broke"):
        sftp.Conversation("login", channel, 5, lambda: None)


def test_a_connection_that_is_about_to_die_is_no_server_without_sftp() -> None:
    """The library ends the channels of one that broke a moment before it says that it broke."""
    with pytest.raises(stream.Broken, match="the connection broke") as told:
        sftp.Conversation("login", cast(paramiko.Channel, Slow()), 5, lambda: None)
    assert not isinstance(told.value, stream.Mute)


def test_a_connection_that_is_about_to_die_is_no_machine_without_checksums() -> None:
    shell = sums.Shell(contextlib.ExitStack(), cast(paramiko.Channel, Slow()))
    shell.ask(b"/run", 1)
    with pytest.raises(stream.Broken, match="the connection broke"):
        shell.answer(5, lambda: None)


def test_who_begins_to_wait_for_a_channel_that_was_closed_just_now_is_told() -> None:
    channel = paramiko.Channel(1)
    with connection._watched(channel, patience.of(0.1)):
        for _ in range(2):
            channel.event.clear()  # as the library does before it waits
            assert channel.event.wait(20)
