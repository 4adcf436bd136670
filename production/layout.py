"""Where everything of a run lies on disk. Names only: nothing here looks at the disk.

Below ``data``::

    raw/run02091.mid                        the staged input (settings: staged)
    tree/v4/tree02091.root                  outputs in place (settings: outputs.NAME.path)
    log/v4/alcapana.run02091.out  .err      the last attempt's logs; earlier ones beside, .attempt1.out
    jobs/alcapana_v4-<catalogue>/02091.1.ticket  .witness
    work/alcapana_v4-<catalogue>/02091.1/   where the attempt runs; its private HOME is home/, told outputs out/
    modules/<digest>                        the configuration text as it was

With ``batch.remote_data`` the outputs in place are below ``data``, and everything else below that directory on the
cluster's own disk, each attempt with inputs of its own (nobody there can be asked who else needs a file)::

    input/alcapana_v4-<catalogue>/02091.1/run02091.mid
    log/v4/alcapana.run02091.attempt1.out  .err
    script/<digest>/alcapana.sge            the job script as it was

The database, and people, have names there as ``sftp://HOST/PATH``.
"""

from __future__ import annotations

import dataclasses
import glob
import os
import urllib.parse

from production import run as runs
from production import settings as settings_
from production.settings import template


@dataclasses.dataclass(frozen=True, slots=True)
class Elsewhere:
    """The disk of the jobs, where this machine doesn't see it. Paths are absolute there."""

    host: str
    """As people write it behind ssh."""
    data: str
    """Below which all is."""
    home: str
    """Of the account whose jobs ours are."""
    script: str
    """The program's job script."""
    modules: str = ""
    """The configuration text; empty if there is none."""

    def told(self, path: str) -> str:
        """A path there, as the database has it."""
        return f"sftp://{self.host}{urllib.parse.quote(path)}"


class Layout:
    """The names for one production."""

    def __init__(
        self,
        settings: settings_.Settings,
        program: settings_.Program,
        production: runs.Production,
        modules: str = "",
        inode: int = 0,
        elsewhere: Elsewhere | None = None,
    ) -> None:
        """``modules`` is the digest of the configuration text, empty if the program has none.

        ``inode`` is the database's: a copy of it has other jobs, under other marks. ``elsewhere``: where the jobs' files
        are, if they are on a disk that this machine doesn't see.
        """
        self.settings = settings
        self.program = program
        self.production = production
        self.modules = modules
        self.elsewhere = elsewhere
        self.has_work = (
            elsewhere is not None or program.home == "private" or any(not output.written for output in program.outputs)
        )
        """Whether an attempt has a work directory; others run in the user's HOME, as Grid Engine does it."""
        self.brings = bool(program.input or (program.base and elsewhere))
        """Whether inputs have to be brought; an output of the base is used where it is, if the jobs see it."""
        self._place = elsewhere.data if elsewhere else settings.data
        own = f"{production.name}-{production.catalogue}"
        self._mark = f"{own}.{inode:x}-"
        self._jobs = self._under("jobs", own)
        self._work = self._under("work", own)
        self._inputs = self._under("input", own) if elsewhere else ""
        self.true_home = elsewhere.home if elsewhere else os.path.expanduser("~")
        """HOME of the user whose jobs ours are."""
        self._log = self._under("log", f"v{production.version}", f"{production.program}.run")

    def below(self, path: str) -> str:
        """The path as the shift is told it: below data, where it is."""
        if self.elsewhere:
            return self.told(path)
        return path.removeprefix(os.path.join(self._place, ""))

    def told(self, path: str) -> str:
        """A path that jobs see, as the database has it, and whoever reads there."""
        return self.elsewhere.told(path) if self.elsewhere else path

    def reached(self, told: str) -> str:
        """A path of the database, as jobs see it."""
        return urllib.parse.unquote(urllib.parse.urlsplit(told).path) if self.elsewhere else told

    def _under(self, *parts: str) -> str:
        """On the disk of the jobs."""
        return os.path.join(self._place, *parts)

    def jobs(self) -> str:
        """Directory of tickets and witnesses."""
        return self._jobs

    def ticket(self, run: runs.Run) -> str:
        """While this file is there the job may start, and say how it ended."""
        return f"{self._jobs}/{run.run:05d}.{run.attempt}.ticket"

    def tickets(self, manager: int) -> str:
        """The file that all tickets of a manager are names of."""
        return f"{self._jobs}/manager{manager}.tickets"

    def witness(self, run: runs.Run) -> str:
        """What the job says of itself."""
        return f"{self._jobs}/{run.run:05d}.{run.attempt}.witness"

    def mark(self, run: runs.Run) -> str:
        """Unique in the world; the job has it in its environment."""
        return f"{self._mark}{run.run}-{run.attempt}"

    def work(self, run: runs.Run) -> str:
        """Where the attempt runs; made for it alone and removed after it, if the layout ``has_work``."""
        return f"{self._work}/{run.run:05d}.{run.attempt}"

    def works(self) -> str:
        """Directory of the work directories."""
        return self._work

    def own_inputs(self) -> str:
        """Directory of inputs that are each one attempt's alone; empty: they are shared."""
        return self._inputs

    def own_input(self, run: runs.Run) -> str:
        """Directory of the attempt's own inputs; empty: they are shared."""
        return f"{self._inputs}/{run.run:05d}.{run.attempt}" if self._inputs else ""

    def home(self, run: runs.Run) -> str:
        """HOME of the attempt's job."""
        return f"{self.work(run)}/home" if self.program.home == "private" else self.true_home

    def directory(self, run: runs.Run) -> str:
        """Where the job starts."""
        return self.work(run) if self.has_work and self.program.home != "private" else self.home(run)

    def log(self, run: runs.Run, stream: str) -> str:
        """``stream`` is ``out`` or ``err``; the last attempt's, where logs can be put aside by us, else this one's."""
        if self.elsewhere:
            return self.earlier_log(run, stream, run.attempt)
        return f"{self._log}{run.run:05d}.{stream}"

    def earlier_log(self, run: runs.Run, stream: str, attempt: int) -> str:
        """Where an earlier attempt's log is kept."""
        return f"{self._log}{run.run:05d}.attempt{attempt}.{stream}"

    def staged(self, run: runs.Run) -> str:
        """Where the input is staged, as the database has it; only for programs whose inputs are brought."""
        if self.elsewhere:
            return self.told(os.path.join(self.own_input(run), self._own_name(run)))
        return self._under(self.expected(run))

    def _own_name(self, run: runs.Run) -> str:
        """What the attempt's own input is called; an output of the base keeps what says of what kind it is."""
        if not self.program.base:
            return os.path.basename(self.expected(run))
        program, _, name = self.program.base.partition(".")
        paths = [one.path for one in self.settings.programs[program].outputs if one.name == name]
        return f"{name}{run.run:05d}{os.path.splitext(paths[0])[1] if paths else ''}"

    def expected(self, run: runs.Run) -> str:
        """The raw input's name below data, where scripts that know of none look for it."""
        return self._expand(self.program.staged, run)

    def parts(self) -> str:
        """What staged inputs are called while they come, as glob(7) finds them; empty: the program has none."""
        pattern = "" if self.elsewhere else template.pattern(self.program.staged)
        return os.path.join(glob.escape(self.settings.data), pattern) + ".part" if pattern else ""

    def remote(self, run: runs.Run) -> str:
        """Its name in the archive."""
        return self._expand(self.program.input, run)

    def modules_file(self) -> str:
        """The configuration text as it was when we started; empty if there is none."""
        if self.elsewhere:
            return self.elsewhere.modules
        return self._under("modules", self.modules) if self.modules else ""

    def outputs(self, run: runs.Run) -> list[runs.Output]:
        """Each output: where the job puts it, and where it belongs."""
        return [self._output(run, output) for output in self.program.outputs]

    def _output(self, run: runs.Run, output: settings_.OutputSettings) -> runs.Output:
        final = os.path.join(self.settings.data, self._expand(output.path, run))
        if output.written:
            return runs.Output(output.name, os.path.join(self.home(run), self._expand(output.written, run)), final)
        return runs.Output(
            output.name, os.path.join(self.work(run), "out", output.name, os.path.basename(final)), final
        )

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
        fields = self._fields(run) | {"input": self.reached(run.input or ""), "modules": self.modules_file()}
        fields |= {output.name: output.temporary for output in self.outputs(run)}
        script = self.elsewhere.script if self.elsewhere else self.program.script
        return (script, *(template.expand(argument, fields) for argument in arguments))

    def _fields(self, run: runs.Run) -> dict[str, object]:
        fields: dict[str, object] = {"run": run.run, "attempt": run.attempt, "data": self._place}
        fields |= {"version": self.production.version, "program": self.production.program}
        return fields | {"calibdatabase": self.settings.calibdatabase}

    def _expand(self, pattern: str, run: runs.Run) -> str:
        return template.expand(pattern, self._fields(run))
