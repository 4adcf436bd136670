"""The password of the demo's archive: in a netrc file that only its owner may read, for the server and its clients."""

from __future__ import annotations

import netrc
import os
import pathlib
import secrets

HOST = "127.0.0.1"
LOGIN = "demo"


def choose(path: pathlib.Path) -> None:
    """A new one, unless there is one."""
    try:
        if netrc.netrc(path).authenticators(HOST):
            return
    except (OSError, netrc.NetrcParseError):
        path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        file.write(f"machine {HOST} login {LOGIN} password {secrets.token_urlsafe(18)}\n")
