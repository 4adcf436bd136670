"""Where everything of a run lies on disk. Names only: nothing here looks at the disk.

Below ``data``::

    raw/run02091.mid                        the staged input (settings: staged)
    tree/v4/tree02091.root                  outputs in place (settings: outputs.NAME.path)
    log/v4/alcapana.run02091.out  .err      the last attempt's logs; earlier ones beside, .attempt1.out
    jobs/alcapana_v4-<catalogue>/02091.1.ticket  .witness
    work/alcapana_v4-<catalogue>/02091.1/   where the attempt runs; its private HOME is home/, told outputs out/
    modules/<digest>                        the configuration text as it was
"""

from __future__ import annotations

import dataclasses
import os

from production import run as runs
from production import settings as settings_
from production import template


@dataclasses.dataclass(frozen=True, slots=True)
class Layout:
    """The names for one production."""

    settings: settings_.Settings
    program: settings_.Program
    production: runs.Production
    modules: str = ""
    """Digest of the configuration text; empty if the program has none."""

    def _under(self, *parts: str) -> str:
        return os.path.join(self.settings.data, *parts)

    def _own(self) -> str:
        return f"{self.production.name}-{self.production.catalogue}"

    def jobs(self) -> str:
        """Directory of tickets and witnesses."""
        return self._under("jobs", self._own())

    def ticket(self, run: runs.Run) -> str:
        return os.path.join(self.jobs(), f"{run.run:05d}.{run.attempt}.ticket")

    def witness(self, run: runs.Run) -> str:
        return os.path.join(self.jobs(), f"{run.run:05d}.{run.attempt}.witness")

    def mark(self, run: runs.Run) -> str:
        """Unique in the world; the job has it in its environment."""
        return f"{self._own()}-{run.run}-{run.attempt}"

    def work(self, run: runs.Run) -> str:
        return self._under("work", self._own(), f"{run.run:05d}.{run.attempt}")

    def home(self, run: runs.Run) -> str:
        """HOME of the attempt's job."""
        return os.path.join(self.work(run), "home") if self.program.home == "private" else os.path.expanduser("~")

    def log(self, run: runs.Run, stream: str) -> str:
        """``stream`` is ``out`` or ``err``; the last attempt's."""
        name = f"{self.production.program}.run{run.run:05d}.{stream}"
        return self._under("log", f"v{self.production.version}", name)

    def earlier_log(self, run: runs.Run, stream: str, attempt: int) -> str:
        """Where an earlier attempt's log is kept."""
        plain = self.log(run, stream)
        return f"{plain[: -len(stream) - 1]}.attempt{attempt}.{stream}"

    def staged(self, run: runs.Run) -> str:
        """Where the raw input is staged; only for programs that have one."""
        return self._under(self._expand(self.program.staged, run))

    def remote(self, run: runs.Run) -> str:
        """Its name in the archive."""
        return self._expand(self.program.input, run)

    def modules_file(self) -> str:
        """The configuration text as it was when we started; empty if there is none."""
        return self._under("modules", self.modules) if self.modules else ""

    def outputs(self, run: runs.Run) -> list[runs.Output]:
        """Each output: where the job puts it, and where it belongs."""
        return [self._output(run, output) for output in self.program.outputs]

    def _output(self, run: runs.Run, output: settings_.OutputSettings) -> runs.Output:
        final = self._under(self._expand(output.path, run))
        if output.written:
            return runs.Output(output.name, os.path.join(self.home(run), self._expand(output.written, run)), final)
        return runs.Output(output.name, os.path.join(self.work(run), "out", output.name, os.path.basename(final)), final)

    def fixed(self, run: runs.Run) -> list[str]:
        """Paths in the user's own HOME that the script writes whatever the attempt: one attempt at a time."""
        if self.program.home == "private":
            return []
        home = self.home(run)
        return [
            os.path.join(home, self._expand(output.written, run)) for output in self.program.outputs if output.written
        ]

    def scratch(self, run: runs.Run) -> tuple[str, ...]:
        return tuple(os.path.join(self.home(run), self._expand(name, run)) for name in self.program.scratch)

    def command(self, run: runs.Run) -> tuple[str, ...]:
        """The job's argv: the script, its arguments, and those of the flags that were given."""
        arguments = list(self.program.arguments)
        if self.settings.calib:
            arguments += self.program.options.get("calib", ())
        if self.settings.calibdatabase:
            arguments += self.program.options.get("calibdatabase", ())
        fields = self._fields(run) | {"input": run.input or "", "modules": self.modules_file()}
        fields |= {output.name: output.temporary for output in self.outputs(run)}
        return (self.program.script, *(template.expand(argument, fields) for argument in arguments))

    def _fields(self, run: runs.Run) -> dict[str, object]:
        fields: dict[str, object] = {"run": run.run, "attempt": run.attempt, "data": self.settings.data}
        fields |= {"version": self.production.version, "program": self.production.program}
        return fields | {"calibdatabase": self.settings.calibdatabase}

    def _expand(self, pattern: str, run: runs.Run) -> str:
        return template.expand(pattern, self._fields(run))
