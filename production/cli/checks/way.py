"""The way to another machine: what SSH refuses leaves a check with the mend that belongs to it, whoever had asked."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from production import errors
from production.cli import remote, wiring
from production.cli.checks import finding


@contextlib.contextmanager
def told(host: str, setting: str) -> Iterator[None]:
    """Let what is wrong with the way to a host, which is named in this setting, leave as Bad; all else as it is."""
    try:
        yield
    except errors.ProductionError as error:
        for cause in errors.causes(error):
            if isinstance(cause, errors.RemoteRefused) and cause.mend:
                raise finding.Bad(str(error).removesuffix(f"; {cause.mend}"), cause.mend) from error
            # a command that takes too long there says nothing against the way
            if isinstance(cause, errors.RemoteAway) and not isinstance(cause.__cause__, errors.BatchError):
                raise finding.Bad(str(error), _mend_away(cause, host, setting)) from error
        raise


def _mend_away(away: errors.RemoteAway, host: str, setting: str) -> str:
    if wiring.unknown(away):
        return f"is it written right? {setting}, ~/.ssh/config"
    return f"is that machine up, is the way to it open? try: {remote.call(host)} true"
