"""What every archive does alike: which names are inside it, and what our own disk's troubles mean for a transfer."""

from __future__ import annotations

from production import disk, errors


def inside(remote: str, archive: str) -> str:
    """The name, if it is one inside an archive (named as ``archive``).

    Raises: TransferError, for good: a name that leads out of it, or that no archive could have.
    """
    if not remote or remote.startswith("/") or ".." in remote.split("/") or "\0" in remote:
        shown = disk.shown(remote) or "an empty name"
        raise lasting(
            errors.TransferError(
                f"{shown}: not a name inside the archive {archive} (no leading /, no ..: see the program's `input`)"
            )
        )
    return remote


def told(trouble: disk.Trouble) -> errors.TransferError:
    """The error of this house for what the disk said."""
    if trouble.waits:
        return errors.TransferWaits(str(trouble))
    error = errors.TransferError(str(trouble))
    return error if trouble.transient else lasting(error)


def lasting(error: errors.TransferError) -> errors.TransferError:
    """Trying again doesn't help."""
    error.transient = False
    return error
