"""Whole productions on a cluster behind a login node: a real sshd, before it a line that breaks, behind it a fake or the real Slurm."""

from __future__ import annotations

import getpass
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tests.acceptance import logins
from tests.acceptance.campaign import Campaign, Pipe, User, until
from tests.fakes import cluster as clusters
from tests.services import packages, service, sshd
from tests.services import slurm as slurms


@pytest.fixture
def cluster(tmp_path: pathlib.Path) -> clusters.Cluster:
    """A fake Slurm."""
    return clusters.Cluster(tmp_path / "cluster.json")


@pytest.fixture
def site(
    campaign: Campaign, cluster: clusters.Cluster, tmp_path: pathlib.Path, need: logins.Need
) -> Iterator[logins.Site]:
    with logins.behind(campaign, cluster, tmp_path, need) as site:
        yield site


@pytest.mark.feature("PC-02", "PC-05", "AC-08")
def test_a_production_from_end_to_end(site: logins.Site) -> None:
    site.begin('echo "run $1"; test $1 != 3', "1-6")
    result = site.start("--new=t").wait(120)
    assert result.code == 3, str(result)
    assert site.campaign.letters("sim_v1") == "FFEFFF"
    assert site.server.logins() == 1
    assert site.campaign.rows("SELECT DISTINCT batch FROM submission") == [("slurm@login",)]
    assert site.campaign.rows("SELECT batch FROM manager") == [("slurm@login",)]
    site.campaign.nothing_in_hands()


@pytest.mark.feature("PC-02", "AC-19", "AC-33")
def test_a_thousand_runs_cost_few_commands(site: logins.Site, cluster: clusters.Cluster) -> None:
    """Submitted with a handful, followed with one a poll, cancelled with a handful."""
    cluster.set(hold=True)
    site.begin("exit 0", "1-1000")
    manager = site.start("--new=t", "--nproc=1000", "--nprep=1000", pause=1)
    site.submitted(1000)
    assert len(cluster.calls("sbatch")) <= 3
    polls = len(cluster.calls("squeue"))
    until(lambda: len(cluster.calls("squeue")) >= polls + 2, "it is asked again")
    lists = [call for call in cluster.calls("squeue") if "-j" not in call]
    assert len(lists) == len(cluster.calls("squeue"))
    result = manager.stop(seconds=120)
    assert (result.code, result.said("jobs cancelled, claims given back")) == (130, True), str(result)
    assert len(cluster.calls("scancel")) <= 3
    assert site.server.logins() == 1
    # one to see that the clients are there; every other command over the line was one of the cluster's
    assert site.server.commands() == len(cluster.calls()) + 1
    assert site.campaign.letters("sim_v1") == "N" * 1000
    site.campaign.nothing_in_hands()


@pytest.mark.feature("PC-02", "AC-29", "AC-33")
def test_a_line_that_is_cut_while_submitting(site: logins.Site, tmp_path: pathlib.Path) -> None:
    """After the cluster has taken the jobs, before we hear of it: they are found by their name, and each is computed once."""
    site.begin("echo $1 >>@/began", "1-5", grace=5)
    kept, go = (Pipe(tmp_path / "clients" / name) for name in ("kept", "go"))
    (tmp_path / "clients/keep").touch()
    manager = site.start("--new=t")
    kept.take(1)
    site.line.refuse()
    manager.wait_for("sbatch: the connection to login broke; waiting")
    assert site.campaign.rows("SELECT DISTINCT state FROM production_run") == [("submitting",)]
    go.give(1)
    site.line.accept()
    result = manager.wait(120)
    assert result.code == 0, str(result)
    assert sorted(site.words()) == ["1", "2", "3", "4", "5"]
    assert site.campaign.letters("sim_v1") == "FFFFF"
    assert site.campaign.rows("SELECT count(*) FROM submission") == [(1,)]
    for pipe in (kept, go):
        pipe.close()


@pytest.mark.feature("PC-02", "AC-29")
@pytest.mark.parametrize("how", ["cut", "stopped", "stalled"])
def test_a_login_node_that_is_away_while_following(site: logins.Site, how: str) -> None:
    """Said once; jobs that end meanwhile have ended, and nothing is lost."""
    site.begin("echo $1 >>@/began; while ! test -e @/go; do sleep 0.1; done", "1-3", lease=20)
    manager = site.start("--new=t")
    until(lambda: len(site.words()) == 3, "the jobs run")
    site.submitted(3)
    {"cut": site.line.refuse, "stopped": site.server.stop, "stalled": site.line.stall}[how]()
    manager.wait_for("; waiting")
    (site.campaign.directory / "go").touch()
    {"cut": site.line.accept, "stopped": site.server.start, "stalled": site.line.go_on}[how]()
    result = manager.wait(120)
    assert result.code == 0, str(result)
    assert site.campaign.letters("sim_v1") == "FFF"
    assert sorted(site.words()) == ["1", "2", "3"]
    assert len([message for message in result.messages if message.endswith("; waiting")]) <= 2, result.err


@pytest.mark.feature("PC-02", "AC-33")
def test_who_leaves_while_the_line_stands_still(site: logins.Site) -> None:
    """The first Ctrl-C waits for the cluster, the second for nobody; the next manager follows the jobs.

    What they did after it was decided to cancel them doesn't count, so they are done once more.
    """
    site.begin("echo $1 >>@/began; while ! test -e @/go; do sleep 0.1; done", "1-2", lease=60)
    manager = site.start("--new=t")
    until(lambda: len(site.words()) == 2, "the jobs run")
    site.submitted(2)
    site.line.stall()
    manager.send(signal.SIGINT)
    manager.wait_for("waiting", seconds=40)
    began = time.monotonic()
    result = manager.stop()
    assert time.monotonic() - began < 10, "a command is waited for for fifteen"
    assert (result.code, result.said("still in our name: 2 submitted")) == (130, True), str(result)
    site.line.cut()
    site.line.go_on()
    (site.campaign.directory / "go").touch()
    result = site.start().wait(120)
    assert result.code == 0, str(result)
    assert site.campaign.letters("sim_v1") == "FF"
    site.campaign.nothing_in_hands()


@pytest.mark.feature("PC-02")
def test_a_passphrase_is_asked_for_at_the_door(site: logins.Site, need: logins.Need) -> None:
    """On the terminal, once, before anything begins; it is in no log and not in the database."""
    program = need("script(1)", shutil.which("script"))
    site.begin("exit 0", "1-2")
    identity = site.campaign.home / ".ssh/id_test"
    words = ["ssh-keygen", "-q", "-p", "-N", "secret word", "-f", str(identity)]
    subprocess.run(words, check=True, stdin=subprocess.DEVNULL, capture_output=True)
    refused = site.start("--new=t").wait()
    assert (refused.code, "id_test has a passphrase and nobody can be asked: ssh-add" in refused.err) == (2, True)
    command = [site.campaign.python, str(site.campaign.root / "run_production.py")]
    command += ["--production=sim", "--batch=slurm@login", "--pause=0.5", "--new=t"]
    with subprocess.Popen(
        [str(program), "-qec", shlex.join(command), "/dev/null"],
        cwd=site.campaign.directory, env=site.campaign.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as done:  # fmt: skip
        assert done.stdin
        assert done.stdout
        said = b""
        while not said.endswith(b"id_test: "):
            said += (more := os.read(done.stdout.fileno(), 4096))
            assert more, said.decode()
        done.stdin.write(b"secret word\n")
        done.stdin.flush()
        said += done.stdout.read()
    text = said.decode()
    assert done.returncode == 0, text
    assert text.count("Passphrase of") == 1
    assert "secret" not in text
    assert b"secret" not in b"".join(path.read_bytes() for path in site.campaign.directory.glob("production.db*"))
    assert site.campaign.letters("sim_v1") == "FF"


@pytest.mark.feature("PC-02")
def test_a_login_node_that_nobody_knows(site: logins.Site) -> None:
    """Nothing is opened; the line that it tells is the mend."""
    site.begin("exit 0", "1")
    known = site.known_hosts.read_text()
    site.known_hosts.write_text("")
    result = site.start("--new=t").wait()
    assert result.code == 2, str(result)
    assert "--batch=slurm@login: login: its host key is not known: ssh-ed25519 SHA256:" in result.err
    assert "Traceback" not in result.err
    assert f"ssh-keyscan -p {site.line.port} -t ed25519 127.0.0.1 >>{site.known_hosts}" in result.err
    assert site.campaign.rows("SELECT count(*) FROM productions") == [(0,)]
    site.known_hosts.write_text(known)
    assert site.start("--new=t").wait().code == 0


@pytest.mark.feature("PC-02")
def test_a_login_node_without_the_cluster_s_commands(site: logins.Site) -> None:
    site.begin("exit 0", "1")
    result = site.start("--new=t", batch="sge@login").wait()
    said = "qsub is not on the PATH of login" if not shutil.which("qsub", path=packages.PLACES) else ""
    assert not said or (result.code == 2 and said in result.err), str(result)
    here = site.start("--new=t", batch="slurm@").wait()
    assert here.code == 2
    assert '"slurm@login.cluster"' in here.err


@pytest.mark.feature("PC-02")
def test_a_login_node_that_is_away_at_the_start(site: logins.Site) -> None:
    """Waited for, as a controller is."""
    site.begin("exit 0", "1-2")
    site.line.refuse()
    manager = site.start("--new=t")
    manager.wait_for("no connection to login: ")
    site.line.accept()
    result = manager.wait(120)
    assert result.code == 0, str(result)
    assert site.campaign.letters("sim_v1") == "FF"


@pytest.mark.feature("PC-02")
def test_a_name_that_nobody_knows(site: logins.Site) -> None:
    """A slip at the start of a new version; later a name service may be away."""
    with (site.known_hosts.parent / "config").open("a") as config:
        config.write("Host slip\n    HostName fe80::1%%slip\n")  # no name service is asked
    site.begin("exit 0", "1-2")
    before = site.campaign.rows("SELECT * FROM productions")
    result = site.start("--new=t", batch="slurm@slip").wait()
    assert (result.code, len(result.err.splitlines())) == (2, 1), str(result)
    assert "--batch=slurm@slip: no connection to slip: " in result.err
    assert "Name or service not known; is it written right? No version was opened" in result.err
    assert site.campaign.rows("SELECT * FROM productions") == before
    assert site.start("--new=t").wait().code == 0
    site.campaign.ok("reset", "1", "--production=sim_v1", "--yes")
    manager = site.start(batch="slurm@slip")
    manager.wait_for("no connection to slip: ")
    manager.send(signal.SIGINT)
    assert manager.wait().code == 130


@pytest.mark.feature("PC-02", "AC-30")
def test_two_clusters_of_one_kind_are_two(site: logins.Site, cluster: clusters.Cluster) -> None:
    """A manager follows only jobs of its own cluster; it says how the others' are followed."""
    site.begin("echo $1 >>@/began; while ! test -e @/go; do sleep 0.1; done", "1-2", lease=10)
    site.campaign.environment |= {"FAKE_CLUSTER": str(clusters.Cluster(cluster.path.with_name("here.json")).path)}
    first = site.start("--new=t")
    site.submitted(2)
    first.kill()
    site.campaign.environment["PATH"] = f"{clusters.BIN}:{site.campaign.environment['PATH']}"
    second = site.start(batch="slurm")
    second.wait_for(
        "Nobody follows the jobs of 2 runs under slurm@login: their manager is gone; start one with --batch=slurm@login"
    )
    second.stop()
    third = site.start()
    third.wait_for("Following 2 runs")
    (site.campaign.directory / "go").touch()
    assert third.wait(120).code == 0
    assert sorted(site.words()) == ["1", "2"]


@pytest.mark.feature("PC-02", "AC-28")
def test_what_people_ask_of_it(site: logins.Site, cluster: clusters.Cluster) -> None:
    """The doctor's tour, and why a job waits."""
    site.begin("exit 0", "1")
    said = site.campaign.product("doctor", "batch", "--batch=slurm@login", "--json")
    assert said.code == 0, str(said)
    met, tried = [one["found"] for one in json.loads(said.out)]
    assert re.fullmatch(
        rf"login: its host key is known, {getpass.getuser()} is let in after \S+ s, its commands are there", met
    )
    assert re.fullmatch(r"slurm@login: a job ran `true` on \S+: exit 0, seen after \S+ s", tried)
    cluster.set(hold=True)
    manager = site.start("--new=t")
    site.submitted(1)
    lines = {line["layer"]: line["text"] for line in json.loads(site.campaign.ok("why", "1", "--json").out)["layers"]}
    assert re.fullmatch(r"job \d+_1 of slurm@login for \d+ s: pending \(Priority\)", lines["batch system"]), lines
    site.line.refuse()
    lines = {line["layer"]: line["text"] for line in json.loads(site.campaign.ok("why", "1", "--json").out)["layers"]}
    assert "no answer: no connection to login" in lines["batch system"]
    said = site.campaign.product("doctor", "batch", "--batch=slurm@login")
    assert (said.code, "bad  batch     no connection to login" in said.out) == (1, True), str(said)
    site.line.accept()
    assert manager.stop().code == 130


# --- the real one -----------------------------------------------------------------------------------------------------


@pytest.fixture
def real(
    slurm: slurms.Slurm, new_campaign: Callable[[pathlib.Path], Campaign], need: logins.Need
) -> Iterator[tuple[logins.Site, service.Service]]:
    """We are root here, and the jobs' user there."""
    with logins.Login(slurm.environment, need, slurm.home) as login:
        campaign = new_campaign(login.path / "campaign")
        campaign.directory.chmod(0o777)
        me = User(getpass.getuser(), os.geteuid(), os.getegid(), (), 0)
        yield logins.Site(campaign, login.server, login.line, sshd.account(slurm.user, "/bin/sh"), me), slurm


@pytest.mark.feature("PC-02", "PC-05", "AC-33")
def test_ctrl_c_with_two_hundred_jobs_of_a_real_cluster(real: tuple[logins.Site, service.Service]) -> None:
    site, cluster = real
    site.begin("sleep 600", "1-200")
    manager = site.start("--new=t", "--nproc=200", "--nprep=200")
    site.submitted(200)
    before = site.server.commands()
    result = manager.stop(seconds=120)
    assert (result.code, result.said("jobs cancelled, claims given back")) == (130, True), str(result)
    assert site.server.commands() - before <= 40
    assert site.server.logins() == 1
    until(lambda: not cluster.run("squeue", "-h", "-u", cluster.user).stdout, "the queue is empty", 30)
    assert site.campaign.letters("sim_v1") == "N" * 200
    site.campaign.nothing_in_hands()


@pytest.mark.torture
@pytest.mark.feature("PC-02", "AC-29", "AC-33")
@pytest.mark.parametrize("when", ["submitting", "following"])
def test_a_line_that_is_cut_for_a_minute(real: tuple[logins.Site, service.Service], when: str) -> None:
    site, cluster = real
    site.begin("echo $1 >>@/began; sleep 3", "1-4")
    if when == "submitting":  # the login takes 2,000 bytes, each question 1,300, and sbatch 7,000 with its script
        site.line.after(7_000, site.line.refuse)
    manager = site.start("--new=t")
    if when == "following":
        site.submitted(4)
        site.line.refuse()
    manager.wait_for("waiting" if when == "following" else "sbatch: the connection to login broke; waiting", seconds=90)
    threading.Event().wait(60)
    site.line.accept()
    result = manager.wait(200)
    assert result.code == 0, str(result)
    assert site.campaign.letters("sim_v1") == "FFFF"
    assert sorted(site.words()) == ["1", "2", "3", "4"], "each was computed once"
    assert len([message for message in result.messages if message.endswith("; waiting")]) <= 3, result.err
    assert not cluster.run("squeue", "-h", "-u", cluster.user).stdout


@pytest.mark.feature("PC-02", "PC-05")
def test_a_production_on_a_real_cluster(real: tuple[logins.Site, service.Service]) -> None:
    site, cluster = real
    site.begin("id -un; test $1 != 2", "1-4")
    result = site.start("--new=t").wait(120)
    assert result.code == 3, str(result)
    assert site.campaign.letters("sim_v1") == "FEFF"
    [log] = site.campaign.data.glob("log/v1/*00001.out")
    assert log.read_text() == f"{cluster.user}\n"
