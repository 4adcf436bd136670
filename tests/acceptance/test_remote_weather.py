"""Productions on a disk that nobody here sees, in bad weather: the line, the server, the manager, the key, the disk there."""

from __future__ import annotations

import os
import pathlib
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator

import pytest

from tests.acceptance import depots, logins
from tests.acceptance.campaign import Campaign, Manager, Result, until
from tests.fakes import cluster as clusters

SIM = 'echo $1 >>@/began; cat "$2" >"$3"; echo "hist $1" >"$4"'
GATE = 'echo $1 >>@/began; while ! test -e @/go; do sleep 0.1; done; cat "$2" >"$3"; echo "hist $1" >"$4"'

RUNS = range(1, 4)
LARGE = 12 << 20
PHASES = ("sending", "submitting", "following", "fetching")
HOW = ["cut", pytest.param("killed", marks=pytest.mark.torture)]
"""The line, or the server at its other end."""


@pytest.fixture
def cluster(tmp_path: pathlib.Path) -> clusters.Cluster:
    """A fake Slurm."""
    return clusters.Cluster(tmp_path / "cluster.json")


@pytest.fixture
def far(
    campaign: Campaign, cluster: clusters.Cluster, tmp_path: pathlib.Path, need: logins.Need
) -> Iterator[depots.Far]:
    with depots.behind(campaign, cluster, tmp_path, need) as far:
        yield far


class Phase:
    """Three runs in the middle of something; the line stands still then, so that it stays the middle."""

    def __init__(self, far: depots.Far, name: str, directory: pathlib.Path, size: int = LARGE) -> None:
        self._far, self._name = far, name
        self._moment = depots.Moment(far.line)
        self._replies = depots.Replies(directory) if name == "submitting" else None
        # otherwise some are fetched while others are being submitted
        far.begin(GATE if name in ("following", "fetching") else SIM, RUNS, size)
        self._size = size
        if name == "sending":
            far.line.after(size, self._moment)

    def wait(self) -> None:
        if self._replies:
            self._replies.wait()
            return
        if self._name in ("following", "fetching"):
            depots.began(self._far, len(RUNS))
            self._far.submitted(len(RUNS))
        if self._name == "fetching":
            self._far.line.after_down(self._size, self._moment)
            self._open_gate()
        if self._name in ("sending", "fetching"):
            self._moment.wait()

    def _open_gate(self) -> None:
        (self._far.campaign.directory / "go").touch()

    def go_on(self) -> None:
        """What was kept back goes on; the line is as it was."""
        self._open_gate()
        if self._replies:
            self._replies.give()
        self._far.line.go_on()


def said_once(result: Result) -> None:
    """One line for each that waits, the batch system and the files, and no more."""
    waits = [message for message in result.messages if message.endswith("; waiting")]
    assert 1 <= len(waits) <= 3, result.err
    assert "Traceback" not in result.err


# --- the line, the server --------------------------------------------------------------------------------------------


@pytest.mark.feature("AC-29", "PC-02")
@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("name", PHASES)
def test_the_line_is_cut_in_the_middle(far: depots.Far, tmp_path: pathlib.Path, name: str, how: str) -> None:
    """Said once; what was under way goes on where it was, and nothing is computed twice."""
    phase = Phase(far, name, tmp_path)
    manager = far.start("--new=t")
    phase.wait()
    if how == "cut":
        far.line.refuse()
    else:
        far.site.server.stop()
    far.line.go_on()
    manager.wait_for("; waiting")
    if how == "cut":
        far.line.accept()
    else:
        far.site.server.start()
    phase.go_on()
    result = manager.wait(120)
    far.is_whole(RUNS, result)
    assert sorted(far.site.words()) == ["1", "2", "3"], "each was computed once"
    said_once(result)


@pytest.mark.torture
@pytest.mark.feature("AC-29", "PC-02")
@pytest.mark.parametrize("name", PHASES)
def test_the_line_is_away_for_a_minute(far: depots.Far, tmp_path: pathlib.Path, name: str) -> None:
    phase = Phase(far, name, tmp_path)
    manager = far.start("--new=t")
    phase.wait()
    far.line.refuse()
    far.line.go_on()
    threading.Event().wait(60)
    far.line.accept()
    phase.go_on()
    result = manager.wait(200)
    far.is_whole(RUNS, result)
    said_once(result)


@pytest.mark.feature("AC-29", "AC-33")
@pytest.mark.parametrize("name", PHASES)
def test_the_manager_is_killed_in_the_middle(far: depots.Far, tmp_path: pathlib.Path, name: str) -> None:
    """The next one takes over; nothing is computed twice, and nothing but logs and scripts is left there."""
    phase = Phase(far, name, tmp_path)
    manager = far.start("--new=t")
    phase.wait()
    manager.kill()
    far.line.cut()
    phase.go_on()
    result = far.start().wait(120)
    assert result.code == 0, str(result)
    far.is_in_place(RUNS)
    assert sorted(far.site.words()) == ["1", "2", "3"], "each was computed once"


@pytest.mark.feature("AC-29", "PC-02")
@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("way", ["there", "back"])
def test_a_large_file_goes_on_where_it_was(far: depots.Far, way: str, how: str) -> None:
    """What was through is not carried again, as the line's own count shows."""
    size = 220 << 20
    far.begin(
        'echo $1 >>@/began; head -c 1000 "$2" >"$3"; echo hist >"$4"' if way == "there" else LARGE_OUTPUT, range(1, 2)
    )
    if way == "there":
        (far.campaign.archive / "run00001.mid").write_bytes(os.urandom(1 << 20) * (size >> 20))
    moment = depots.Moment(far.line)
    (far.line.after if way == "there" else far.line.after_down)(size * 3 // 4, moment)
    manager = far.start("--new=t")
    moment.wait(120)
    far.line.refuse() if how == "cut" else far.site.server.stop()
    far.line.go_on()
    manager.wait_for("; waiting")
    far.line.accept() if how == "cut" else far.site.server.start()
    result = manager.wait(180)
    assert result.code == 0, str(result)
    said_once(result)
    assert far.site.words() == ["1"]
    carried = far.line.up if way == "there" else far.line.down
    assert size <= carried < size * 1.25, f"{carried:,} bytes for a file of {size:,}"
    if way == "back":
        block = (far.campaign.directory / "block").read_bytes()
        assert far.tree(1) == block * (size >> 20)
    else:
        assert far.tree(1) == far.raw(1)[:1000]
    assert far.left() == []
    far.campaign.nothing_in_hands()


LARGE_OUTPUT = """
echo $1 >>@/began
head -c 1048576 /dev/urandom >@/block
for each in $(seq 220); do cat @/block; done >"$3"
echo hist >"$4"
"""


# --- keys ------------------------------------------------------------------------------------------------------------


def submitted_and_gated(far: depots.Far) -> None:
    depots.began(far, 2)
    far.submitted(2)


@pytest.mark.feature("PC-02")
def test_a_host_key_that_changed_between_two_managers(far: depots.Far) -> None:
    """The next one opens nothing, and says what is to be done."""
    far.begin(GATE, range(1, 3))
    manager = far.start("--new=t")
    submitted_and_gated(far)
    manager.kill()
    change_host_key(far)
    before = far.campaign.rows("SELECT run, state, owner, attempt FROM production_run"), far.there()
    refused = far.start().wait()
    assert (refused.code, refused.err.count("\n")) == (2, 1), str(refused)
    assert "login: its host key CHANGED: now ssh-ed25519 SHA256:" in refused.err
    assert "ssh-keygen -R" in refused.err
    assert (far.campaign.rows("SELECT run, state, owner, attempt FROM production_run"), far.there()) == before
    know_it(far)
    open_gate(far)
    far.is_whole(range(1, 3), far.start().wait(120))


@pytest.mark.feature("PC-02")
@pytest.mark.parametrize("what", ["host key", "key"])
def test_a_key_that_changes_under_a_manager(far: depots.Far, what: str) -> None:
    """Told once, with the mend; jobs go on, and so does the manager when it is mended."""
    far.begin(GATE, range(1, 3))
    manager = far.start("--new=t")
    submitted_and_gated(far)
    if what == "host key":
        change_host_key(far)
        said = "its host key CHANGED"
    else:
        allow(far, "")
        said = "doesn't let"
    manager.wait_for(said)
    open_gate(far)
    know_it(far)
    allow(far, far.site.server.identity.with_suffix(".pub").read_text())
    result = manager.wait(180)
    far.is_whole(range(1, 3), result)
    assert result.err.count(said) <= 2, result.err


@pytest.mark.feature("PC-02")
def test_a_key_that_is_refused_while_outputs_come(far: depots.Far, tmp_path: pathlib.Path) -> None:
    """What was computed is worth waiting for."""
    phase = Phase(far, "fetching", tmp_path)
    manager = far.start("--new=t")
    phase.wait()
    allow(far, "")
    far.line.cut()
    phase.go_on()
    manager.wait_for("doesn't let")
    allow(far, far.site.server.identity.with_suffix(".pub").read_text())
    far.is_whole(RUNS, manager.wait(120))
    assert sorted(far.site.words()) == ["1", "2", "3"], "each was computed once"


@pytest.mark.feature("PC-02")
def test_a_key_that_is_refused_at_the_door(far: depots.Far) -> None:
    far.begin(SIM, range(1, 3))
    allow(far, "")
    refused = far.start("--new=t").wait()
    assert (refused.code, refused.err.count("\n")) == (2, 1), str(refused)
    assert "login doesn't let" in refused.err
    assert "; make this work without a question: ssh login true" in refused.err
    assert far.campaign.rows("SELECT count(*) FROM productions") == [(0,)]
    assert far.there() == []
    allow(far, far.site.server.identity.with_suffix(".pub").read_text())
    far.is_whole(range(1, 3), far.start("--new=t").wait(120))


def open_gate(far: depots.Far) -> None:
    (far.campaign.directory / "go").touch()


def change_host_key(far: depots.Far) -> None:
    far.site.server.stop()
    far.site.server.new_host_key()
    far.site.server.start()


def know_it(far: depots.Far) -> None:
    """The person on shift has asked the site."""
    server = far.site.server
    far.site.known_hosts.write_text(server.known_host.replace(f":{server.port}", f":{far.line.port}") + "\n")


def allow(far: depots.Far, keys: str) -> None:
    """Only these get in from now on."""
    (far.site.server.directory / "authorized_keys").write_text(keys)
    if not keys:
        far.site.server.sever()


# --- leaving ---------------------------------------------------------------------------------------------------------


def two_hundred(far: depots.Far, cluster: clusters.Cluster) -> Manager:
    """A manager with so many jobs that wait; how much a run writes is known by the one that is done before."""
    far.begin(SIM, range(1, 202))
    far.campaign.ok("datasets", "add", "1", "--dataset=first")
    assert far.start("--new=t", "--dataset=first").wait().code == 0
    cluster.set(hold=True)
    manager = far.start("--nproc=200", "--nprep=200")
    far.submitted(200)
    return manager


@pytest.mark.feature("AC-33", "AC-19")
def test_ctrl_c_with_two_hundred_jobs(far: depots.Far, cluster: clusters.Cluster) -> None:
    """Cancelled, and all that was theirs there removed, with a handful of commands."""
    manager = two_hundred(far, cluster)
    assert len([one for one in far.there() if one.endswith(".ticket")]) == 200
    before = far.site.server.commands()
    result = manager.stop(seconds=120)
    assert (result.code, result.said("jobs cancelled, claims given back")) == (130, True), str(result)
    assert far.site.server.commands() - before <= 40
    assert len(cluster.calls("scancel")) <= 3
    assert far.campaign.letters("sim_v1") == "F" + "N" * 200
    assert far.left() == []
    far.campaign.nothing_in_hands()


@pytest.mark.feature("AC-33")
def test_a_second_ctrl_c_while_the_line_stands_still(far: depots.Far, cluster: clusters.Cluster) -> None:
    """It leaves at once; the next manager ends what is left."""
    manager = two_hundred(far, cluster)
    far.line.stall()
    manager.send(signal.SIGINT)
    manager.wait_for("again")
    began = time.monotonic()
    result = manager.stop()
    assert time.monotonic() - began < 10, "a command is waited for for fifteen"
    assert (result.code, result.said("still in our name")) == (130, True), str(result)
    far.line.cut()
    far.line.go_on()
    second = far.start("--nproc=200", "--nprep=200")
    second.wait_for("Following 200 runs")
    result = second.stop(seconds=120)
    assert (result.code, result.said("jobs cancelled, claims given back")) == (130, True), str(result)
    assert far.left() == []
    far.campaign.nothing_in_hands()


# --- few channels, two managers --------------------------------------------------------------------------------------


@pytest.mark.feature("PC-02")
def test_a_server_with_two_channels(far: depots.Far) -> None:
    server = far.site.server
    server.stop()
    server.options = ("MaxSessions 2",)
    server.start()
    runs = range(1, 9)
    far.begin(SIM, runs, 2 << 20)
    far.is_whole(runs, far.start("--new=t", "--nproc=8", "--nprep=8").wait(180))
    assert "no more sessions" in server.log


@pytest.mark.feature("AC-30")
def test_two_managers_of_one_production(far: depots.Far) -> None:
    """Each run is one's alone, and neither touches what is the other's there."""
    runs = range(1, 25)
    far.begin(GATE, runs, 1 << 20)
    first = far.start("--new=t", "--nproc=4", "--nprep=4")
    depots.began(far, 4)
    second = far.start("--nproc=4", "--nprep=4")
    depots.began(far, 8)
    open_gate(far)
    results = [first.wait(180), second.wait(180)]
    assert [result.code for result in results] == [0, 0], "\n".join(map(str, results))
    far.is_in_place(runs)
    assert sorted(map(int, far.site.words())) == list(runs)
    assert all(result.err.count("Finished run") > 1 for result in results), "both had some"


# --- a full disk there -----------------------------------------------------------------------------------------------


QUIET = "[quota]\ninterval = 3600"
"""So that the disk is found full by who writes on it."""


class Small:
    """A disk of its own for everything there, of 64 GiB, until it has no more than it needs."""

    def __init__(self, far: depots.Far) -> None:
        self._place = str(far.remote)
        self._mount("size=64G,nr_inodes=100k")

    def fill(self, left: int = 0) -> None:
        """All but so many bytes."""
        found = os.statvfs(self._place)
        self._mount(f"remount,size={(found.f_blocks - found.f_bfree) * found.f_frsize + left}")

    def fill_names(self) -> None:
        """Not one more file, however small."""
        found = os.statvfs(self._place)
        self._mount(f"remount,nr_inodes={found.f_files - found.f_ffree}")

    def make_room(self) -> None:
        self._mount("remount,size=64G,nr_inodes=100k")

    def _mount(self, options: str) -> None:
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", self._place], check=True)

    def close(self) -> None:
        subprocess.run(["umount", "-l", self._place], check=True)


@pytest.fixture
def small(far: depots.Far, need: logins.Need) -> Iterator[Small]:
    need("root, to mount a small disk", os.geteuid() == 0)
    made = Small(far)
    yield made
    made.close()


@pytest.mark.feature("AC-31", "PC-02")
def test_no_room_for_inputs(far: depots.Far, small: Small) -> None:
    far.begin(SIM, RUNS, 8 << 20, QUIET)
    moment = depots.Moment(far.line)
    far.line.after(2 << 20, moment)
    manager = far.start("--new=t")
    moment.wait()
    small.fill(left=1 << 20)
    far.line.go_on()
    manager.wait_for("make room on it; waiting")
    small.make_room()
    result = manager.wait(120)
    far.is_whole(RUNS, result)
    assert result.err.count("its disk is full (") == 1, result.err
    assert sorted(far.site.words()) == ["1", "2", "3"]


@pytest.mark.feature("AC-31", "PC-02")
@pytest.mark.parametrize("what", ["bytes", "names"])
def test_no_room_for_tickets_and_manifests(far: depots.Far, small: Small, what: str) -> None:
    """Nothing is submitted, what runs goes on, and no attempt is lost over it."""
    far.begin(GATE, range(1, 4), batch=QUIET)
    manager = far.start("--new=t", "--nproc=1", "--nprep=3")
    depots.began(far, 1)
    until(lambda: states(far) == {"submitted": 1, "staged": 2}, "two runs are staged")
    small.fill() if what == "bytes" else small.fill_names()
    far.campaign.ok("nproc", "3", "--production=sim", "--yes")
    manager.wait_for(f"the disk under login:{far.remote} is full: nothing new is staged or submitted")
    until(lambda: states(far) == {"submitted": 1, "staged": 2}, "both are ready again")
    small.make_room()
    open_gate(far)
    result = manager.wait(120)
    far.is_whole(range(1, 4), result)
    assert len([one for one in result.messages if one.endswith(("; waiting", "the other runs wait"))]) == 1, result.err


@pytest.mark.feature("AC-31", "PC-02")
def test_no_room_for_what_a_job_writes(far: depots.Far, small: Small) -> None:
    """Its attempt failed, as the program says; with room the next one does it."""
    gate = far.campaign.pipe("gate")
    far.begin(f"read go <@/gate || exit 9; {SIM}", range(1, 2), 4 << 20, QUIET)
    manager = far.start("--new=t")
    far.submitted(1)
    small.fill(left=2 << 20)
    gate.give(1)
    manager.wait_for("Failed attempt of run: 1 (")
    small.make_room()
    gate.give(1)
    result = manager.wait(120)
    assert result.code == 0, str(result)
    far.is_in_place(range(1, 2))


def states(far: depots.Far) -> dict[object, object]:
    return dict(far.campaign.rows("SELECT state, count(*) FROM production_run GROUP BY state"))  # type: ignore[arg-type]


# --- inputs that are fetched there -----------------------------------------------------------------------------------


ORDER = 'stage = "remote"\nfetch = ["{command}", "{{input}}", "{{to}}"]'


def ordered(far: depots.Far, script: str) -> str:
    """Lines of settings, for a command that is only there; ``$1`` is the input, ``$2`` where to."""
    program = far.campaign.script("fetch.sh", script)
    return ORDER.format(command=program)


@pytest.mark.feature("AC-13", "PC-02")
def test_inputs_that_are_fetched_there(far: depots.Far) -> None:
    """None of their bytes goes over the line."""
    far.begin(SIM, RUNS, 4 << 20, ordered(far, 'exec cp @/archive/"$1" "$2"'))
    result = far.start("--new=t").wait(120)
    far.is_whole(RUNS, result)
    assert far.line.up < 1 << 20


@pytest.mark.feature("AC-13", "PC-02")
@pytest.mark.parametrize(
    ("script", "said"),
    [
        ('echo "no such dataset: $1" >&2; exit 4', "fetch.sh) on login: exit 4: no such dataset: run00001.mid"),
        ('head -c 100 @/archive/"$1" >"$2"', "brought 100 bytes to login, the archive's has 4,096"),
        ("exit 0", "ended well, but brought nothing to login"),
        ("", "batch.fetch (/no/such/fetch) on login: exit 127: sh: "),
    ],
)
def test_a_fetch_there_that_fails(far: depots.Far, script: str, said: str) -> None:
    """Its attempt failed for cause staging, with the command's own words; nothing of it is left."""
    order = ordered(far, script) if script else ORDER.format(command="/no/such/fetch")
    far.begin(SIM, range(1, 2), 4096, order)
    result = far.start("--new=t").wait(120)
    assert result.code == 3, str(result)
    assert far.campaign.rows("SELECT DISTINCT cause FROM attempt") == [("staging",)]
    assert said in result.err
    assert "batch.fetch (" in result.err
    assert "Traceback" not in result.err
    assert far.left() == []
    far.campaign.nothing_in_hands()
    advice = far.ask("failures", "--suggest", "--production=sim").out
    assert "try it by hand on login: " in advice
    assert " INPUT TO" in advice


@pytest.mark.feature("AC-33", "AC-13")
def test_a_slow_fetch_there_and_ctrl_c(far: depots.Far) -> None:
    """The command there is ended, and what it began is removed."""
    far.begin(
        SIM, range(1, 2), 4096, ordered(far, 'head -c 100 @/archive/"$1" >"$2"; echo $$ >@/began; exec sleep 600')
    )
    manager = far.start("--new=t")
    depots.began(far, 1)
    said = " ".join(far.ask("why", "1").out.split())
    assert re.search(r"archive run00001\.mid: batch\.fetch \(\S+/fetch\.sh\) runs on login for \S+ s ", said), said
    began = time.monotonic()
    result = manager.stop()
    assert time.monotonic() - began < 40
    assert result.code == 130, str(result)
    [process] = far.site.words()
    until(lambda: not pathlib.Path(f"/proc/{process}").exists(), "the command there is ended", 10)
    assert far.left() == []
    assert far.campaign.letters("sim_v1") == "N"
    far.campaign.nothing_in_hands()
