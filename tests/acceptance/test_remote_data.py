"""Productions whose jobs have a disk that this machine doesn't see: inputs are sent there, outputs brought back."""

from __future__ import annotations

import json
import pathlib
import re
from collections.abc import Iterator

import pytest

from tests.acceptance import depots, logins
from tests.acceptance.campaign import Campaign, until
from tests.fakes import cluster as clusters


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


def test_a_chain_from_end_to_end(far: depots.Far) -> None:
    """What is read there are copies; what is left there are the logs and the scripts, here the outputs."""
    far.begin(depots.SIM, range(1, 5))
    result = far.start("--new=t").wait(120)
    assert result.code == 0, str(result)
    data = far.campaign.directory / "data"
    raw = {run: (far.campaign.directory / f"archive/run{run:05d}.mid").read_bytes() for run in range(1, 5)}
    for run, content in raw.items():
        assert (data / f"tree/v1/tree{run:05d}.root").read_bytes() == content
        assert (data / f"hist/v1/hist{run:05d}.root").read_text() == f"hist {run}\n"
    result = far.start("--new=t", "--version=1", program="fit").wait(120)
    assert result.code == 0, str(result)
    for run, content in raw.items():
        assert (data / f"fit/v1/fit{run:05d}.txt").read_bytes() == content.upper()
    logs = {
        f"log/v1/{name}.run{run:05d}.attempt1.{end}" for name in ("sim", "fit") for run in raw for end in ("out", "err")
    }
    left = [path for path in far.there() if path not in logs and not path.startswith("script/")]
    assert left == ["input/", "jobs/", "log/", "log/v1/", "work/"]
    assert logs <= set(far.there())
    assert sorted(path.name for path in data.iterdir() if not path.name.startswith(".")) == ["fit", "hist", "tree"]
    assert far.campaign.rows("SELECT count(*) FROM input") == [(0,)]
    far.campaign.nothing_in_hands()


def test_a_log_there_is_read_from_here(far: depots.Far) -> None:
    far.begin('echo "run $1 of $2"; echo "bad magic in run $1" >&2; exit 3', range(1, 2))
    result = far.start("--new=t").wait(120)
    assert result.code == 3, str(result)
    assert "bad magic in run 1" in result.err
    assert f"sftp://login{str(far.remote).replace(' ', '%20').replace('µ', '%C2%B5')}/log/v1/" in result.err
    said = far.campaign.ok("log", "1", "--production=sim")
    assert "bad magic in run 1" in said.out
    assert f"run 1 of {far.remote}/input/" in far.campaign.ok("log", "1", "--production=sim", "--out").out


@pytest.mark.feature("PC-02", "AC-35")
def test_doctor_tries_it(far: depots.Far) -> None:
    """A job runs there, and the limit is that of their disk; nothing is left."""
    far.begin(depots.SIM, range(1, 2))
    said = far.ask("doctor", "batch", "quota")
    assert said.code == 0, str(said)
    assert f"slurm@login:{far.remote}: a job ran `true` on" in said.out
    assert f"login:{far.remote}, HOME {far.site.server.home}: a file was sent there and brought back" in said.out
    assert far.there() == []
    settings = far.campaign.directory / "production.toml"
    settings.write_text(settings.read_text().replace(str(far.remote), "/proc/nowhere"))
    said = far.ask("doctor", "batch")
    assert said.code == 1, str(said)
    assert "login:/proc/nowhere: mkdir: cannot create directory" in said.out
    assert "mend: may you write there? ssh login; or choose another batch.remote_data\n" in said.out


@pytest.mark.feature("PC-02", "AC-35")
def test_doctor_names_the_mend_of_the_way(far: depots.Far) -> None:
    """The same whoever wanted to go there, in lines of their own."""
    far.begin(depots.SIM, range(1, 2))
    place = far.site.known_hosts.parent
    known, identity, config = far.site.known_hosts.read_text(), place / "id_test", (place / "config").read_text()
    up = "is that machine up, is the way to it open? try: ssh login true"
    far.site.known_hosts.write_text("")
    both_bad(
        far,
        "login: its host key is not known: ssh-ed25519 SHA256:",
        "compare the fingerprint with the site's, then run: ssh-keyscan -p",
    )
    far.site.known_hosts.write_text(known.rstrip()[:-6] + "AAAAAA\n")
    both_bad(far, "login: its host key CHANGED: ", "only if the site says that it has a new one: ssh-keygen -R")
    far.site.known_hosts.write_text(known)
    identity.chmod(0o644)
    others = f"({identity} may be read by others: chmod 600 it); it takes: publickey"
    both_bad(far, others, "make this work without a question: ssh login true")
    identity.chmod(0o600)
    (place / "config").write_text(config.replace("127.0.0.1", "fe80::1%%slip"))
    both_bad(far, "Name or service not known", "is it written right? [batch] host, ~/.ssh/config")
    (place / "config").write_text(config)
    far.line.refuse()
    both_bad(far, "no connection to login", up)


def both_bad(far: depots.Far, what: str, mend: str) -> None:
    """Whoever submits and whoever reads the quota say this."""
    result = far.ask("doctor", "batch", "quota", "--json")
    found = [one for one in json.loads(result.out) if one["ok"] is False]
    assert [one["check"] for one in found] == ["quota", "batch"], str(result)
    for one in found:
        assert what in one["found"], one
        assert one["mend"].startswith(mend), one
        assert mend not in one["found"], one


@pytest.mark.feature("PC-02", "AC-35")
def test_doctor_names_the_mend_of_the_disk_there(far: depots.Far) -> None:
    settings = far.campaign.directory / "production.toml"
    fetch = 'stage = "remote"\nfetch = ["{command}", "{{input}}", "{{to}}"]'
    (far.remote / "old").write_bytes(bytes(2 << 20))
    far.begin(depots.SIM, range(1, 2), batch=fetch.format(command="cp"))
    text = settings.read_text().replace('archive = "archive"\n', "")
    settings.write_text(text + '\n[quota]\nreader = "directory"\nlimit = "1M"\n')
    result = far.ask("doctor", "netrc", "archive", "batch", "quota", "--json")
    said = {one["check"]: one for one in json.loads(result.out)}
    for check in ("netrc", "archive"):
        assert said[check]["found"] == "not asked: login fetches the inputs itself (batch.fetch)", said
    assert said["batch"]["ok"], said
    assert re.match(r"directory on login: .* of 1\.0 MiB used", said["quota"]["found"]), said
    kept = "(its log/ and script/ are never removed by us), or raise the limit"
    assert said["quota"]["mend"].startswith(f"remove something under login:{far.remote} {kept}")
    settings.write_text(text.replace('"cp"', '"dccp"') + '\n[quota]\nreader = "mmlsquota"\n')
    result = far.ask("doctor", "batch", "quota", "--json")
    said = {one["check"]: one for one in json.loads(result.out)}
    assert said["batch"]["found"] == "batch.fetch: dccp is not on the PATH of login"
    assert said["quota"]["found"].startswith("mmlsquota -Y on login: exit 1"), said
    assert said["quota"]["mend"].startswith("try the reader by hand on login")


def test_what_cannot_be_done_there_is_refused_at_the_door(far: depots.Far) -> None:
    """Before a version is opened."""
    far.begin(depots.SIM, range(1, 2))
    settings = far.campaign.directory / "production.toml"
    text = settings.read_text()
    settings.write_text(
        text.replace('"{tree}", "{hist}"]', '"{hist}"]').replace(
            '.root" }\noutputs.hist', '.root", written = "data/t{run}" }\noutputs.hist'
        )
    )
    result = far.start("--new=t").wait()
    assert result.code == 2, str(result)
    assert (
        'it writes into HOME, which it can\'t do under batch.remote_data: set programs.sim.home = "private"'
        in result.err
    )
    settings.write_text(text.replace(str(far.remote), "/proc/nowhere"))
    result = far.start("--new=t").wait()
    assert result.code == 1, str(result)
    assert "login:/proc/nowhere: mkdir: cannot create directory" in result.err
    assert far.campaign.rows("SELECT count(*) FROM productions") == [(0,)]


def test_an_audit_looks_at_no_disk_but_ours(far: depots.Far, cluster: clusters.Cluster) -> None:
    """Inputs there are not gone because they can't be seen from here."""
    cluster.set(hold=True)
    far.begin(depots.SIM, range(1, 3))
    manager = far.start("--new=t")
    far.submitted(2)
    said = far.ask("audit")
    assert said.code == 0, str(said)
    assert "harmless: sim_v1: 2 inputs on login were not looked at: only that machine sees them\n" in said.out
    assert json.loads(far.ask("audit", "--json", "2").out)["harmless"] == [
        "sim_v1: 1 input on login was not looked at: only that machine sees it"
    ]
    assert manager.stop(seconds=120).code == 130
    assert "login" not in far.ask("audit").out


def test_why_of_a_job_that_has_ended(far: depots.Far, cluster: clusters.Cluster) -> None:
    """It is its manager that has not seen it yet: no node was lost."""
    cluster.set(hold=True)
    far.begin(depots.SIM, range(1, 2))
    manager = far.start("--new=t")
    far.submitted(1)
    manager.kill()
    cluster.change(1, state="COMPLETED", host="n01")
    said = " ".join(far.ask("why", "1").out.split())
    assert ": ended on n01; its manager sees it at its next poll next" in said


@pytest.mark.feature("PC-02", "AC-41")
def test_an_old_script_with_a_home_of_its_own(far: depots.Far) -> None:
    """It finds its input and what it is given of the true HOME, and writes where it always did."""
    far.begin(
        'set -e; test -L "$HOME/data/raw/run00001.mid"; cat "$HOME/data/raw/run00001.mid" >"$HOME/data/t1"; cat "$HOME/setup"',
        range(1, 2),
    )
    (far.site.server.home / "setup").write_text("the true one")
    settings = far.campaign.directory / "production.toml"
    lines = [
        line.replace('path = "tree', 'written = "data/t{run}", path = "tree')
        for line in settings.read_text().splitlines()
        if not line.startswith(("outputs.hist", 'arguments = ["{run}'))
    ]
    settings.write_text(
        "\n".join(lines).replace("retry.pause = 0", 'retry.pause = 0\nhome = "private"\nlink = ["setup"]')
    )
    result = far.start("--new=t").wait(120)
    assert result.code == 0, str(result)
    raw = far.campaign.directory / "archive/run00001.mid"
    assert (far.campaign.directory / "data/tree/v1/tree00001.root").read_bytes() == raw.read_bytes()
    assert far.ask("log", "1", "--out").out == "the true one"


@pytest.mark.feature("PC-02", "AC-19", "AC-33")
def test_a_thousand_runs_there_cost_few_commands(far: depots.Far, cluster: clusters.Cluster) -> None:
    """To make their tickets and submit them, to follow them one a poll, to cancel them and clear up."""
    cluster.set(hold=True)
    far.begin(depots.SIM, range(1, 1))
    far.campaign.ok("datasets", "add", "1-1000", "--dataset=Al50")
    manager = far.start("--new=t", "--nproc=1000", "--nprep=1000", program="bare")
    far.site.submitted(1000)
    server = far.site.server
    assert server.commands() - len(cluster.calls("squeue")) <= 16
    before, polls = server.commands(), len(cluster.calls("squeue"))
    until(lambda: len(cluster.calls("squeue")) >= polls + 4, "it is asked again")
    assert server.commands() - before <= len(cluster.calls("squeue")) - polls + 1
    before, polls = server.commands(), len(cluster.calls("squeue"))
    result = manager.stop(seconds=120)
    assert (result.code, result.said("jobs cancelled, claims given back")) == (130, True), str(result)
    assert server.commands() - before - (len(cluster.calls("squeue")) - polls) <= 24
    assert server.logins() == 1
    assert [path for path in far.there() if "witness" in path or "ticket" in path or "manifest" in path] == []
    far.campaign.nothing_in_hands()


@pytest.mark.feature("PC-02", "AC-29")
def test_another_disk_is_another_cluster(far: depots.Far) -> None:
    """Whose jobs are on the one are not followed by who looks on the other; who looks there again finds them done."""
    far.begin(
        'echo $1 >>@/began; cat "$2" >"$3"; echo "hist $1" >"$4"; while ! test -e @/go; do sleep 0.1; done',
        range(1, 3),
        lease=10,
    )
    first = far.start("--new=t")
    depots.began(far, 2)
    far.submitted(2)
    first.kill()
    other = far.remote.parent / "another disk"
    settings = far.campaign.directory / "production.toml"
    text = settings.read_text()
    settings.write_text(text.replace(str(far.remote), str(other)))
    second = far.start()
    second.wait_for(f"their manager is gone; start one with --batch=slurm@login:{far.remote}")
    second.stop()
    (far.campaign.directory / "go").touch()
    result = far.campaign.start("--production=sim", "--pause=0.2", f"--batch=slurm@login:{far.remote}").wait(120)
    assert result.code == 0, str(result)
    assert sorted(far.site.words()) == ["1", "2"]
    assert far.campaign.letters("sim_v1") == "FF"


def test_without_sftp_nothing_is_opened(far: depots.Far) -> None:
    far.begin(depots.SIM, range(1, 2))
    far.site.server.stop()
    far.site.server.without = "Subsystem sftp"
    far.site.server.start()
    result = far.start("--new=t").wait()
    assert result.code == 2, str(result)
    assert "files go there by SFTP: the sshd of login has no sftp; see that sftp login works" in result.err
    assert far.campaign.rows("SELECT count(*) FROM productions") == [(0,)]
    said = far.ask("doctor", "batch")
    assert said.code == 1, str(said)
    assert "the sshd of login has no sftp" in said.out


def test_a_link_in_the_place_of_an_output_is_none(far: depots.Far) -> None:
    """As on a disk of ours."""
    far.begin('ln -s /etc/passwd "$3"; echo "hist $1" >"$4"', range(1, 2))
    result = far.start("--new=t").wait(120)
    assert result.code == 3, str(result)
    assert "is not a regular file but a symbolic link" in result.err


def test_a_login_that_speaks_without_ending_its_line(far: depots.Far) -> None:
    """A terminal's title, for instance; no checksum is spoilt by it."""
    far.begin(depots.SIM, range(1, 3))
    (far.site.server.home / ".bashrc").write_text("printf 'no newline'")
    result = far.start("--new=t").wait(120)
    far.is_whole(range(1, 3), result)
