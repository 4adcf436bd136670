"""The scheduler's commands, called: in go jobs and names, out comes what was read in the replies.

Nothing is remembered here but which accounting the site has. Before it is ``queue``, behind it the dialect and the shell.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from production import errors
from production.batch import scheduler


class Client:
    """One scheduler, one user's right to it."""

    def __init__(self, dialect: scheduler.Dialect, shell: scheduler.Shell, timeout: float) -> None:
        """``timeout``: seconds that one command may take."""
        self._dialect = dialect
        self._shell = shell
        self._timeout = timeout
        self._ledger = 0
        """Which accounting the site has, as far as we have found out."""

    def submit(self, asked: scheduler.Array, script: bytes) -> str:
        """The array's id. Raises: SubmitRefused, BatchUnanswered."""
        command = self._dialect.submit_command(asked)
        reply = self._shell.run(command, input=script, timeout=self._timeout)
        if reply.returncode == 0:
            return self._dialect.parse_submit(reply.stdout)
        refusal = self._dialect.refusal(reply)
        if not refusal:
            raise errors.BatchUnanswered(_problem(command, reply))
        raise errors.SubmitRefused(f"{command[0]}: {refusal.removeprefix(f'{command[0]}: ')}")

    def list(self, users: Collection[str]) -> dict[str, scheduler.Seen]:
        """{job id: what is said of it}, of all jobs of these users. Raises: BatchUnanswered."""
        command = self._dialect.query_command(sorted(users))
        reply = self._shell.run(command, timeout=self._timeout)
        # Whoever says nothing but an error has no empty queue: squeue ends with 0 if it doesn't know the user.
        if reply.returncode != 0 or ("error" in reply.stderr.lower() and not reply.stdout.strip()):
            raise errors.BatchUnanswered(_problem(command, reply))
        return self._dialect.parse_query(reply.stdout)

    def why(self, arrays: Collection[str]) -> dict[str, str]:
        """{job id: why it will never start}, as far as it is told; {array: why it waits}, if that is."""
        command = self._dialect.why_command(sorted(arrays)[: scheduler.ARRAYS]) if arrays else []
        if command:
            with contextlib.suppress(errors.BatchUnanswered):
                return self._dialect.parse_why(self._shell.run(command, timeout=self._timeout).stdout)
        return {}

    def reason(self, job: str) -> str:
        """Why a job waits, where a listing of all doesn't tell; empty: nothing is told."""
        split = self._dialect.split(job)
        said = self.why({split[0]}) if split else {}
        return said.get(job) or (said.get(split[0], "") if split else "")

    def ended(self, jobs: Mapping[str, str]) -> dict[str, scheduler.Seen]:
        """What the accounting says of {job id: alias}; nothing if it can't be asked."""
        return self._account(lambda ledger: self._dialect.accounting_commands(jobs, ledger))

    def named(self, names: Sequence[str]) -> dict[str, scheduler.Seen]:
        """What the accounting says of arrays of these names."""
        return self._account(lambda ledger: self._dialect.named_commands(names, ledger))

    def _account(self, commands: Callable[[int], Iterable[Sequence[str]]]) -> dict[str, scheduler.Seen]:
        while self._ledger < self._dialect.ledgers:
            ledger = self._ledger
            found = self._read(commands(ledger))
            if self._ledger == ledger:
                return found
        return {}

    def _read(self, commands: Iterable[Sequence[str]]) -> dict[str, scheduler.Seen]:
        """What these commands say. One that fails is no answer: the accounting lags anyway."""
        found: dict[str, scheduler.Seen] = {}
        for command in commands:
            with contextlib.suppress(errors.BatchUnanswered):
                reply = self._shell.run(command, timeout=self._timeout)
                if self._dialect.no_ledger(reply):
                    self._ledger += 1
                    return {}
                if reply.returncode == 0:
                    found |= self._dialect.parse_accounting(reply.stdout, self._ledger)
        return found

    def cancel(self, ids: Sequence[str]) -> None:
        """Raises: BatchUnanswered: at least one of the calls didn't arrive."""
        trouble = ""
        for command in self._dialect.cancel_commands(ids):
            try:
                reply = self._shell.run(command, timeout=self._timeout)
                trouble = _problem(command, reply) if self._dialect.uncancelled(reply) else trouble
            except errors.BatchUnanswered as cause:
                trouble = str(cause)
        if trouble:
            raise errors.BatchUnanswered(trouble)

    def close(self) -> None:
        """Let go of connections."""
        self._shell.close()


def _problem(command: Sequence[str], reply: scheduler.Completed) -> str:
    """What a client said when it failed, in one line."""
    lines = [line.strip() for line in (reply.stderr or reply.stdout).splitlines() if line.strip()]
    told = lines[-1].removeprefix(f"{command[0]}: ").removeprefix("error: ")[:300] if lines else ""
    return f"{command[0]}: {told}" if told else f"{command[0]}: exit {reply.returncode}"
