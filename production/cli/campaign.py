"""From an order to an exit code: which production it is, the site for it, the manager's work, the farewell."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import re
import shlex
import signal
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from production import attempt, brake, clock, disk, errors, layout, manager, moment, process, settings, site
from production import run as runs
from production.catalogue import base, sqlite
from production.cli import data, depots, door, farewell, options, terminal, wiring
from production.journal import log, over, waiting

LONGEST_MODULES = 16 << 20
"""Bytes of a configuration that is kept in the database."""

T = TypeVar("T")


@dataclasses.dataclass(frozen=True, slots=True)
class Order:
    """What was asked for on the command line."""

    program: str
    version: int | None
    tag: str | None
    quality: str | None
    datasets: tuple[str, ...]
    tranches: tuple[int, ...]
    display: bool = False
    """In the dashboard."""
    config: str | None = None
    """The settings file that was named."""
    arguments: tuple[str, ...] = ()
    """What was typed."""

    def again(self, version: int) -> str:
        """The command that goes on with it: what was typed, but for opening a version."""
        once_only = re.compile(r"--(?:new|version|quality)(=.*)?", re.DOTALL)
        words, skip = [], False
        for word in self.arguments:
            match = once_only.fullmatch(word)
            if not skip and match is None:
                words.append(word)
            skip = match is not None and match[1] is None  # its value is the next word
        return shlex.join(["run_production", *words, f"--version={version}"])


def run(chosen: settings.Settings, order: Order) -> int:
    """Do it all; the exit code.

    Raises: ProductionError: UsageError before anything was touched.
    """
    door.unwind()
    program = _program(chosen, order)
    modules = _modules_text(chosen, program)
    directory, path = data.real(chosen.data), options.database(chosen)
    with contextlib.ExitStack() as stack:
        lines = stack.enter_context(terminal.shown())
        ticking = clock.SystemClock()
        stack.callback(ticking.close)
        catalogue = patiently(lambda: sqlite.Database(path, opening=1.0))
        stack.callback(catalogue.close)
        data.check(directory, catalogue.id)
        wanted = patiently(lambda: _wanted(catalogue, order))
        bringing = wiring.archive(stack, chosen, program, greet=order.tag is not None)
        elsewhere = patiently(lambda: depots.elsewhere(chosen, program, modules))
        production = patiently(lambda: _production(catalogue, program, directory, order, ticking))
        lines.follow(catalogue, production.id, wanted)
        if catalogue.place.advice:
            log.warning(catalogue.place.advice)
        if order.tag is not None:
            log.info("Opened production: %s (%s)", production.name, production.tag)
        if production.stop is not None and not catalogue.asked(production.id, 1, None):
            _tell_closed(catalogue, production)
            return 0
        data.mark(directory, catalogue.id, catalogue.place.path)
        digest = patiently(lambda: _keep_modules(catalogue, chosen, modules))
        plan = layout.Layout(chosen, program, production, digest, catalogue.place.inode, elsewhere)
        counts = patiently(lambda: catalogue.counts(production.id, wanted))
        log.info("%s: %s", terminal.named(production, wanted), terminal.summary(counts))
        with _signals(ticking, lines.leaving) as stop:  # who has entered says goodbye
            entered = _entered(catalogue, plan, wanted, ticking, stop)
            if entered is None:
                return door.INTERRUPTED
            here = wiring.site(stack, plan, entered, wanted, catalogue, bringing, ticking, stop.again)
            with _shown(lines, order, here, stop.wanted):
                return _work(here, stop, order.again(production.version))


@contextlib.contextmanager
def _shown(lines: terminal.Lines, order: Order, here: site.Site, leaving: Callable[[], bool]) -> Iterator[None]:
    """In the dashboard, if that was asked for and there is a terminal."""
    trouble = terminal.unfit() if order.display else ""
    if trouble:
        log.warning("--display: the dashboard %s; lines instead", trouble)
    if trouble or not order.display:
        yield
        return
    production, database = here.layout.production, here.settings.database
    words = [f"--production={production.name}", f"--manager={here.lease.owner.id}", f"--database={database}"]
    with lines.shown_in([*words, f"--config={order.config}"] if order.config else words, leaving):
        yield


def _tell_closed(catalogue: sqlite.Database, production: runs.Production) -> None:
    since = moment.shown(str(production.stop))
    by = catalogue.records.opened()[production.id]
    if by.closed_by is None:
        log.info("%s is finished since %s; nothing to do", production.name, since)
        return
    why = f" ({by.closed_why})" if by.closed_why else ""
    undo = f"production close --undo --production={production.name} --yes"
    log.warning("%s was closed by %s%s, %s; to go on with it: %s", production.name, by.closed_by, why, since, undo)


def _program(chosen: settings.Settings, order: Order) -> settings.Program:
    """The program that is meant, and can be started. Raises: UsageError."""
    program = chosen.programs.get(order.program)
    if program is None:
        known = ", ".join(sorted(chosen.programs))
        lost = "" if chosen.files[1:] else "; no production.toml was found here: are you in the right directory?"
        raise errors.UsageError(
            f"--production={order.program}: no such program in the settings; there are: {known}{lost}"
        )
    check_script(program)
    if chosen.batch.remote_data and program.home != "private" and any(one.written for one in program.outputs):
        raise errors.UsageError(
            f"{program.said}: it writes into HOME, which it can't do under batch.remote_data: set"
            f' programs.{program.name}.home = "private"'
        )
    for flag, given in (("calib", chosen.calib), ("calibdatabase", chosen.calibdatabase)):
        if given and flag not in program.options:
            raise errors.UsageError(
                f"--{flag}: {program.name} has no arguments for it; set programs.{program.name}.options.{flag}"
            )
    try:
        wiring.check_batch(chosen.batch)
    except errors.RemoteAway as away:  # as a cluster here whose controller is away
        if order.tag is not None and wiring.unknown(away):
            said = f"--batch={chosen.batch.name}: {away}"
            raise errors.UsageError(f"{said}; is it written right? No version was opened") from away
        waiting("weather", f"{away}; waiting", time.clock_gettime(time.CLOCK_BOOTTIME))
    if not chosen.batch.remote_data:  # else its program is there
        wiring.check_quota(chosen.quota)
    return program


def check_script(program: settings.Program) -> None:
    """It is there; one from another world is told as what it is: each job would only say "not found". Raises: UsageError."""
    if not os.path.isfile(program.script):
        what = "is not a file" if os.path.exists(program.script) else "is not there"
        raise errors.UsageError(f"{program.said}: {program.script} {what}")
    with contextlib.suppress(OSError), open(program.script, "rb") as file:
        if file.readline(4096).endswith(b"\r\n"):
            raise errors.UsageError(
                f"{program.said}: {program.script} has DOS line ends; mend: sed -i 's/\\r$//' '{program.script}'"
            )


def patiently(deed: Callable[[], T], enough: Callable[[], bool] = lambda: False) -> T:
    """At the door, too, a locked database is waited for; until somebody has had enough."""
    while True:
        try:
            done = deed()
        except errors.ProductionError as trouble:
            if not trouble.transient or enough():
                raise
            waiting("door", f"{trouble}; waiting", time.monotonic())
            time.sleep(1.0)
        else:
            over("door", "It goes on")
            return done


def _modules_text(chosen: settings.Settings, program: settings.Program) -> bytes | None:
    path = chosen.modules or program.modules
    if not path:
        if settings.needs(program, "modules"):
            raise errors.UsageError(f"{program.name} needs its configuration: --modules=FILE")
        return None
    try:
        with disk.reading(path) as (descriptor, _), open(descriptor, "rb", closefd=False) as file:
            content = file.read(LONGEST_MODULES + 1)
    except disk.Trouble as cause:
        raise errors.UsageError(f"modules: {cause}") from cause
    except OSError as cause:
        raise errors.UsageError(f"modules: {disk.Trouble('read', path, cause)}") from cause
    if len(content) > LONGEST_MODULES:
        raise errors.UsageError(f"modules file {path}: more than 16 MB; is this really a configuration file?")
    return content


def _wanted(catalogue: base.Catalogue, order: Order) -> runs.Wanted:
    """Raises: UsageError, listing what there is."""
    datasets, tranches, qualities = catalogue.selections()
    for flag, given, known in (
        ("dataset", order.datasets, datasets),
        ("tranche", order.tranches, tranches),
        ("quality", (order.quality,) if order.quality else (), qualities),
    ):
        for name in given:
            if name not in known:
                there = ", ".join(str(one) for one in sorted(known, key=str)) or "none"
                raise errors.UsageError(f"--{flag}={name}: no such {flag} in the database; there are: {there}")
    return runs.Wanted(order.datasets, order.tranches)


def _production(
    catalogue: sqlite.Database, program: settings.Program, directory: str, order: Order, ticking: clock.Clock
) -> runs.Production:
    """The production that is meant, opened if it is to be new."""
    if order.tag is not None:
        return _open(catalogue, program, directory, order, ticking)
    if order.quality is not None:
        raise errors.UsageError("--quality chooses the runs of a new production: use it with --new=TAG")
    found = catalogue.production(program.name, order.version)
    if found is not None:
        if found.data != directory:
            raise errors.UsageError(
                f'data {directory}: {found.name} keeps its files under {found.data}; mend: data = "{found.data}"'
            )
        return found
    versions = [production.version for production in catalogue.productions() if production.program == program.name]
    if not versions:
        based = " --version=N (of its base)" if program.base else ""
        raise errors.UsageError(f"there is no {program.name} production yet; start one with --new=TAG{based}")
    there = ", ".join(str(version) for version in versions)
    raise errors.UsageError(
        f"--version={order.version}: there is no such {program.name} production; there are: {there}"
    )


def _open(
    catalogue: sqlite.Database, program: settings.Program, directory: str, order: Order, ticking: clock.Clock
) -> runs.Production:
    tag, quality, base_program = str(order.tag), order.quality or "gold", program.base.partition(".")[0]
    if not tag.strip() or not tag.isprintable():
        raise errors.UsageError("--new=TAG: the tag says which software it is, e.g. --new=v5-2")
    if not base_program and order.version is not None:
        raise errors.UsageError(f"--new makes the version itself, and {program.name} has no base: leave out --version")
    base_id = None
    if base_program:
        if order.version is None:
            raise errors.UsageError(f"{program.name} is based on {base_program}: say on which with --version=N")
        on = catalogue.production(base_program, order.version)
        if on is None:
            there = (
                ", ".join(str(one.version) for one in catalogue.productions() if one.program == base_program) or "none"
            )
            raise errors.UsageError(
                f"--version={order.version}: there is no such {base_program} production; there are: {there}"
            )
        base_id = on.id
    names = tuple(output.name for output in program.outputs)
    opening = base.Opening(program.name, tag, quality, base_id, names, directory, process.user())
    with catalogue.write() as change:
        opened = change.open_production(opening, ticking.now())
        if not sum(catalogue.counts(opened.id).values()):
            raise errors.UsageError(f"no {quality} runs for {program.name}; add some: production datasets add --help")
    return opened


def _keep_modules(catalogue: sqlite.Database, chosen: settings.Settings, content: bytes | None) -> str:
    """The configuration text in the database, and beside the data for the jobs to read: as it is now."""
    if content is None:
        return ""
    with catalogue.write() as change:
        digest = change.keep_modules(content)
    path = os.path.join(chosen.data, "modules", digest)
    if not os.path.exists(path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        try:
            with disk.new(f"{path}.{os.getpid()}") as part:
                part.write(memoryview(content))
                part.sync()
                part.rename(path)
        except disk.Trouble as cause:
            raise errors.ProductionError(str(cause)) from cause
    return digest


def _entered(
    catalogue: sqlite.Database, plan: layout.Layout, wanted: runs.Wanted, ticking: clock.Clock, stop: Stop
) -> runs.Owner | None:
    """Us, entered as a manager; None if somebody said stop while the database was locked."""
    chosen = plan.settings

    def enter() -> runs.Owner:
        with catalogue.write() as change:
            me, batch, now = process.myself(), chosen.batch.name, ticking.now()
            return change.enter(me, plan.production.id, batch, chosen.nproc, chosen.nprep, now, wanted)

    try:
        return patiently(enter, stop.wanted)
    except errors.CatalogueError:
        if stop.wanted():
            return None
        raise


def _work(here: site.Site, stop: Stop, again: str) -> int:
    """Go round; however it ends, what was in our hands is given back or named."""
    try:
        with contextlib.suppress(errors.BatchUnanswered):  # what others left there can wait
            attempt.sweep(here)
        manager.run(here, stop.wanted)
        if not stop.wanted():
            patiently(lambda: _end(here, brake.why(here) or "done"), stop.wanted)
            return farewell.done(here)
    except errors.LostLease as lost:
        log.error("%s", lost)
        attempt.forsake(here)
        return lost.exit_code
    except Exception as error:  # noqa: BLE001  whatever it is stops the manager as Ctrl-C does: jobs and claims first
        told = _tell(error)
        _leave(here, stop, again, told)
        return errors.ProductionError.exit_code
    _leave(here, stop, again)
    return door.INTERRUPTED


def _tell(error: Exception, told: str = "") -> str:
    """Say what stops us, unless it was just told."""
    text = str(error) if isinstance(error, errors.ProductionError) else options.unexpected(error)
    if text != told:
        log.error("%s", text)
    return text


def _end(here: site.Site, message: str) -> None:
    attempt.clear_tickets(here, here.lease.owner.id)
    with contextlib.suppress(errors.BatchUnanswered):
        attempt.sweep_manifests(here)
    with here.catalogue.write(here.lease.owner) as change:
        change.leave(here.lease.owner, message, here.clock.now())
        closed = change.close_production(here.layout.production.id, here.clock.now())
        now = here.catalogue.production(here.layout.production.program, here.layout.production.version)
    if closed:
        log.info("Finished production: %s", here.layout.production.name)
    if now is not None and now.stop is not None:  # whoever closed it: the last to leave finds them empty
        directories = (here.layout.jobs(), here.layout.works(), here.layout.own_inputs())
        here.batch.depot.fold([directory for directory in directories if directory])


def _leave(here: site.Site, stop: Stop, again: str, told: str = "") -> None:
    stop.begin_leaving()
    before = farewell.left_over(here)
    try:
        survivors = manager.leave(here, stop.again)
        _end(here, "stopped")
    except Exception as error:  # noqa: BLE001  what is left has to be said, whatever it was
        _tell(error, told)
        survivors = None
    jobs = bool(before.get(runs.State.SUBMITTING) or before.get(runs.State.SUBMITTED))
    farewell.interrupted(here, survivors, again, jobs=jobs)


TOGETHER = 1.0
"""Seconds: signals that come so close together, before we have begun to leave, are one wish (a terminal that is closed
sends two)."""


class Stop:
    """What signals asked for. Handlers only count, and wake the loop."""

    def __init__(self, clock_: clock.Clock, told: Callable[[], None]) -> None:
        """``told`` is called when we begin to leave."""
        self._clock = clock_
        self._told = told
        self._count = 0
        self._leaving = 0
        self._last = -math.inf

    def handle(self, _number: int, _frame: object) -> None:
        """The signal handler."""
        now = self._clock.boottime()
        if self._leaving or now - self._last > TOGETHER:
            self._count += 1
        self._last = now
        self._clock.wake()

    def wanted(self) -> bool:
        """Somebody said stop."""
        return self._count > 0

    def begin_leaving(self) -> None:
        """What was said so far has been heard."""
        self._leaving = 1
        self._told()

    def again(self) -> bool:
        """Somebody said stop once more while we were leaving."""
        return self._count > max(1, self._leaving)


@contextlib.contextmanager
def _signals(ticking: clock.Clock, told: Callable[[], None]) -> Iterator[Stop]:
    """Ctrl-C, TERM and HUP ask for a stop while this lasts."""
    stop = Stop(ticking, told)
    before = {number: signal.signal(number, stop.handle) for number in door.numbers()}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
