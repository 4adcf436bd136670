"""The tree of errors. Each says whether to try again (``transient``) and how the process ends (``exit_code``).

    ProductionError                 1
    ├── UsageError                  2   a bad option or setting: nothing was touched
    ├── LostLease                   1   somebody took over: leave, touching nothing
    ├── CatalogueError              1
    │   ├── CatalogueBusy           transient: somebody else holds the lock
    │   ├── CatalogueFull           transient: no disk left under the database
    │   └── Interrupted             transient: who asked doesn't want to know any more
    ├── BatchError                  1
    │   ├── SubmitRefused           the batch system said no: there is no job
    │   └── BatchUnanswered         transient: it can't be told what became of the call
    │       └── BatchUnasked        transient: it never came to the call
    ├── RemoteError                 another machine can't be used
    │   ├── RemoteAway              transient: it can't be reached, or the connection to it broke
    │   └── RemoteRefused           it isn't the one we know, or it doesn't let us in, or write: somebody has to look
    ├── TransferError               a file didn't come; ``transient`` is set for each
    │   ├── InputMissing            the archive has no such file
    │   ├── TooLarge                transient: there is no room for the file
    │   ├── TransferWaits           transient: the archive is away, our disk is full: no file's fault
    │   └── LoginRefused            the archive doesn't let us in: stop
    ├── QuotaUnread                 transient: nobody can say how full the disk is
    ├── OutputError                 an output is missing, broken or in the way
    └── DiskFull                    transient: no room for our own small files

The message is for the person on shift: it names the run, file, key or command, and the mend.
"""

from __future__ import annotations

from collections.abc import Iterator


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error, what it was raised from, and so on."""
    while error is not None:
        yield error
        error = error.__cause__


class ProductionError(Exception):
    """Something that is told to the user in one line, never as a traceback."""

    transient = False
    exit_code = 1


class UsageError(ProductionError):
    """A bad option, setting or name; nothing has been touched."""

    exit_code = 2


class LostLease(ProductionError):
    """Another manager took over our runs while we were asleep."""


class CatalogueError(ProductionError):
    """The database can't be used as it is."""


class CatalogueBusy(CatalogueError):
    """Somebody else holds the database's lock; wait and try again."""

    transient = True


class CatalogueFull(CatalogueError):
    """The disk under the database is full; wait and keep the jobs."""

    transient = True


class Interrupted(CatalogueError):
    """A question was ended before its answer; nothing was changed."""

    transient = True


class BatchError(ProductionError):
    """The batch system can't be used."""


class SubmitRefused(BatchError):
    """The batch system refused the submission: it is certain that there is no job."""


class BatchUnanswered(BatchError):
    """The call failed, hung or can't be read: nothing is known, so nothing changes."""

    transient = True


class BatchUnasked(BatchUnanswered):
    """It never came to the call: the batch system doesn't know of it."""


class RemoteError(ProductionError):
    """Another machine can't be used."""


class RemoteAway(RemoteError):
    """It can't be reached, or the connection to it broke; trying again may help."""

    transient = True


class RemoteRefused(RemoteError):
    """It isn't the machine that we know, or it doesn't let us in, or write: a person has to look."""

    def __init__(self, found: str, mend: str = "") -> None:
        super().__init__(f"{found}; {mend}" if mend else found)
        self.mend = mend
        """What the message ends with, for who tells it apart."""


class TransferError(ProductionError):
    """A file did not come; trying again may help."""

    transient = True


class InputMissing(TransferError):
    """The archive has no such file; a human has to look."""

    transient = False


class TooLarge(TransferError):
    """The file has more bytes than it may have now; nothing of it was brought."""

    def __init__(self, message: str, size: int) -> None:
        super().__init__(message)
        self.size = size
        """Bytes."""


class TransferWaits(TransferError):
    """The archive is away, our disk is full, we have too many files open: no file's fault, so it is waited out."""


class LoginRefused(TransferError):
    """The archive doesn't let us in: no file will come, for any run."""

    transient = False


class QuotaUnread(ProductionError):
    """How full the disk is can't be told: nothing new is staged until it can."""

    transient = True


class OutputError(ProductionError):
    """An output is missing, broken, or another file stands where it should go."""


class DiskFull(ProductionError):
    """No room for a ticket, directory or log; wait and keep the jobs."""

    transient = True
