"""The library's connection, with no troubles but those that it promises."""

from __future__ import annotations

import paramiko


class Transport(paramiko.Transport):
    """Whoever waits for it is told of garbled bytes as of a broken connection; the library hands on whatever its ciphers raise."""

    def get_exception(self) -> Exception | None:
        trouble = super().get_exception()
        if trouble is None or isinstance(trouble, paramiko.SSHException | EOFError | OSError):
            return trouble
        told = paramiko.SSHException(f"what came is garbled ({type(trouble).__name__})")
        told.__cause__ = trouble
        return told
