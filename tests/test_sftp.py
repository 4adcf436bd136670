"""Conversations over a connection that dies while something is said: whatever the library raises, it is broken."""

from __future__ import annotations

import types
from typing import cast

import paramiko
import pytest

from production.ssh import sftp, stream


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
        return types.SimpleNamespace(is_active=lambda: False)


@pytest.mark.parametrize("saying", [True, False])
@pytest.mark.parametrize("death", [EOFError(), OSError("Socket is closed"), paramiko.SSHException("rekeying")])
def test_a_connection_that_dies_is_a_broken_one(death: Exception, saying: bool) -> None:
    channel = cast(paramiko.Channel, Dying(death, saying=saying))
    with pytest.raises(stream.Broken, match="the connection broke"):
        sftp.Conversation("login", channel, 5, lambda: None)
