"""The password of the demo's archive: in a netrc file that only its owner may read, for the server and its clients."""

from __future__ import annotations

import netrc
import os
import pathlib
import secrets

HOST = "127.0.0.1"
LOGIN = "demo"


def choose(path: pathlib.Path) -> None:
    """A new one, unless there is one; what can't be read is replaced.

    Raises: OSError, also if the file is there with other passwords, which aren't ours to remove.
    """
    try:
        found = netrc.netrc(path)
        if found.authenticators(HOST):
            return
        is_empty = not found.hosts
    except (OSError, UnicodeDecodeError, netrc.NetrcParseError):
        is_empty = True
    if is_empty:
        path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        file.write(f"machine {HOST} login {LOGIN} password {secrets.token_urlsafe(18)}\n")
