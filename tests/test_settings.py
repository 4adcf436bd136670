"""The settings: which layer wins, what each value becomes, and the exact words when something is wrong.

The tests come in at the door, ``settings.load``; the rooms behind it (layer, values, definition) are seen from there.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import pwd
import re
import textwrap
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies

from production import errors, settings
from production import run as runs

ROOT = pathlib.Path(__file__).resolve().parent.parent

GOOD = """\
[programs.lifetime]
script = "lifetime.sh"
input = "run{run:05d}.mid"
arguments = ["{input}", "{fit}"]
[programs.lifetime.outputs.fit]
path = "fit/v{version}/fit{run:05d}.root"
"""
"""Six lines; what a case adds starts on line 7."""


class House:
    """A machine with its own /etc, home and working directory."""

    def __init__(self, root: pathlib.Path) -> None:
        self.root = root
        self.home = root / "home"
        self.work = root / "work"
        self.system = root / "etc" / "production.toml"
        self.user = self.home / ".config" / "run_production" / "production.toml"
        self.here = self.work / "production.toml"
        for directory in (self.home, self.work):
            directory.mkdir()

    def write(self, path: pathlib.Path, text: str | bytes) -> pathlib.Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    def load(
        self, config: str | None = None, environ: dict[str, str] | None = None, **flags: object
    ) -> settings.Settings:
        return settings.load(
            config=config,
            flags=flags,
            environ=environ or {},
            cwd=str(self.work),
            home=str(self.home),
            system=str(self.system),
        )

    def refusal(self, text: str | bytes | None = None, **flags: object) -> str:
        """What the user is told about a production.toml in the working directory, or about flags."""
        if text is not None:
            self.write(self.here, text)
        with pytest.raises(errors.UsageError) as caught:
            self.load(**flags)  # type: ignore[arg-type]
        message = str(caught.value)
        assert "\n" not in message
        assert caught.value.exit_code == 2
        return message


@pytest.fixture
def house(tmp_path: pathlib.Path) -> House:
    return House(tmp_path)


# --- layers -----------------------------------------------------------------------------------------------------------


def test_without_any_file_there_are_the_documented_defaults(house: House) -> None:
    found = house.load()
    assert found.database == str(house.home / "data/production.db")
    assert found.data == str(house.home / "data")
    assert (found.batch, found.pause, found.nproc, found.nprep, found.spacelim) == (settings.Batch(), 5.0, 10, 5, 100.0)
    assert (found.modules, found.calib, found.follow) == ("", False, False)
    assert found.archive == settings.Archive(netrc=str(house.home / ".netrc"))
    assert found.quota == settings.Quota()
    assert sorted(found.programs) == ["alcapana", "rootana"]
    assert found.files == (str(ROOT / "production/settings/defaults.toml"),)


@pytest.mark.feature("CH-14")
def test_each_layer_goes_over_the_one_below(house: House) -> None:
    """Flags > --config > working directory > user > system, seen by taking them away one by one."""
    layers = [house.system, house.user, house.here, house.work / "mine.toml"]
    for number, path in enumerate(layers, 1):
        house.write(path, f"nproc = {number}\n")
    assert house.load("mine.toml", nproc=99).nproc == 99
    assert house.load("mine.toml", nproc=None).nproc == 4
    assert house.load().nproc == 3
    house.here.unlink()
    assert house.load().nproc == 2
    house.user.unlink()
    assert house.load().nproc == 1
    house.system.unlink()
    assert house.load().nproc == 10


@pytest.mark.feature("AC-08")
@pytest.mark.parametrize(
    ("text", "flags", "poll"),
    [
        ("", {}, 15.0),
        ("pause = 2", {}, 2.0),
        ("batch = { system = 'sge', poll = 40 }", {"pause": "2"}, 40.0),
        ("batch = { system = 'sge', parallel = 'mp' }", {"batch": "slurm", "pause": "0.5"}, 0.5),
    ],
)
def test_a_cluster_is_asked_every_15_s_unless_somebody_said_how_often(
    house: House, text: str, flags: dict[str, str], poll: float
) -> None:
    house.write(house.here, text)
    found = house.load(**flags)  # type: ignore[arg-type]
    assert found.batch.poll == poll
    assert found.batch.system == ("slurm" if "batch" in flags else found.batch.system)


@pytest.mark.feature("PC-02")
@pytest.mark.parametrize(
    ("text", "flag", "name"),
    [
        ("batch = { system = 'slurm', host = 'login.cluster' }", None, "slurm@login.cluster"),
        ("[batch]\nsystem = 'sge'\nhost = 'alice@login:2222'", None, "sge@alice@login:2222"),
        ("batch = 'slurm@login'", None, "slurm@login"),
        ("batch = 'slurm@login'", "slurm", "slurm"),
        ("batch = 'slurm@login'", "local", "local"),
        ("batch.system = 'slurm'", "sge@bob@other", "sge@bob@other"),
        ("batch = { system = 'slurm', host = '' }", None, "slurm"),
    ],
)
def test_a_cluster_behind_another_machine(house: House, text: str, flag: str | None, name: str) -> None:
    """Its name says where it is; what is said later says all of it."""
    house.write(house.here, text + "\n")
    found = house.load(batch=flag).batch
    assert found.name == name
    assert settings.Batch(tasks=7).called(name) == dataclasses.replace(found, tasks=7)


REMOTE = "[batch]\nsystem = 'slurm'\nhost = 'login'\nremote_data = '~/rp'\n"


@pytest.mark.feature("PC-02")
@pytest.mark.parametrize(
    ("flag", "name", "remote"),
    [
        (None, "slurm@login:~/rp", "~/rp"),
        ("sge@other", "sge@other:~/rp", "~/rp"),
        ("sge@bob@other:2222:/scratch/a b:c", "sge@bob@other:2222:/scratch/a b:c", "/scratch/a b:c"),
        ("slurm", "slurm", ""),
        ("local", "local", ""),
    ],
)
def test_a_disk_that_only_the_cluster_sees(house: House, flag: str | None, name: str, remote: str) -> None:
    """Its name says it, too: jobs on another disk are other jobs. Who says that the commands are here says that the disk is."""
    house.write(house.here, REMOTE + "stage = 'remote'\nfetch = ['dccp', '{input}', '{to}']\n")
    found = house.load(batch=flag).batch
    assert (found.name, found.remote_data, found.stage) == (name, remote, "remote" if remote else "here")
    assert settings.Batch().called(name) == settings.Batch(found.system, host=found.host, remote_data=remote)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "batch = { system = 'slurm', remote_data = '/x' }",
            "batch.remote_data: on which machine? say it with batch.host",
        ),
        (REMOTE.replace("~/rp", "rp"), 'batch.remote_data: "rp" is not allowed; an absolute path there'),
        (REMOTE.replace("~/rp", "~bob/rp"), "is not allowed; an absolute path there"),
        (REMOTE.replace("~/rp", "/"), '"/" is not allowed; an absolute path there'),
        (
            REMOTE + "fetch = ['dccp', '{input}', '{to}']",
            'batch.fetch: nobody would run it: set batch.stage = "remote", too',
        ),
        (
            REMOTE + "stage = 'remote'\nfetch = ['dccp', '{inptu}', '{to}']",
            "production.toml:6: batch.fetch: {inptu}: no such field; the fields are {input} {to}",
        ),
        (
            REMOTE + "stage = 'remote'\nfetch = ['dccp', '{input}', '{to']",
            "production.toml:6: batch.fetch: a brace without its partner; a brace itself is written {{ or }}",
        ),
        (REMOTE + "stage = 'there'", 'batch.stage: "there" is not allowed'),
        (
            REMOTE + "stage = 'remote'",
            'production.toml:5: batch.stage: "remote" needs batch.fetch, too: a command there',
        ),
        (
            "[batch]\nsystem = 'slurm'\nhost = 'login'\nstage = 'remote'\nfetch = ['dccp', '{input}', '{to}']",
            'production.toml:4: batch.stage: "remote" needs batch.remote_data, too: the directory there',
        ),
        (
            REMOTE + "stage = 'remote'\nfetch = ['dccp', '{input}']",
            "production.toml:6: batch.fetch: nothing in it is {to}, the path there",
        ),
        (
            REMOTE + "stage = 'remote'\nfetch = ['dccp', '{to}']",
            "batch.fetch: nothing in it is {input}, the name in the archive",
        ),
        ("batch.host = 'login'", "batch.host: jobs go there only with system"),
        ("batch = { system = 'local', host = 'login' }", "batch.host: jobs go there only with system"),
        ("batch = 'local@login'", '"local@login" is not allowed; "slurm@login.cluster"'),
        ("batch = 'slurm@'", '"slurm@" is not allowed'),
        ("batch = 'slurm@-oProxyCommand=x'", "is not allowed; a host as behind ssh"),
        *(
            (f"batch = {{ system = 'slurm', host = {host} }}", "is not allowed; a host as behind ssh")
            for host in (
                "'-l'",
                "'a b'",
                "'a;b'",
                "'a\u00b5'",
                '"a\\u0007"',
                "'@a'",
                "'a@-b'",
                "'a:0'",
                "'a:x'",
                "'a/b'",
                "'$a'",
            )
        ),
    ],
)
def test_what_is_no_other_machine(house: House, text: str, said: str) -> None:
    assert said in house.refusal(text + "\n")


def test_no_attempt_may_ask_for_more_than_retry_allows(house: House) -> None:
    text = '[programs.alcapana]\nresources.memory = "2G"\nretry.memory = "1G"'
    assert "3: programs.alcapana.retry.memory: less than resources.memory, which the first" in house.refusal(text)


@pytest.mark.feature("CH-14", "AC-40")
def test_layers_are_merged_key_by_key(house: House) -> None:
    """Tables are merged however deep; an array replaces an array."""
    house.write(
        house.system, 'batch = "sge"\nlease = 60\n[programs.rootana]\nresources.memory = "2G"\nretry.limit = 5\n'
    )
    house.write(house.user, "nprep = 7\n[programs.rootana.environment]\nA = '1'\nB = '2'\n")
    house.write(house.here, 'lease = 90\nprograms.rootana = { environment.B = "3", options.calib = ["-x", "-y"] }\n')
    found = house.load()
    assert (found.batch.system, found.lease, found.nprep) == ("sge", 90.0, 7)
    rootana = found.programs["rootana"]
    assert rootana.resources == runs.Resources(time=12 * 3600 + 240, memory=2 * 2**30)
    assert rootana.retry == settings.Retry(limit=5)
    assert rootana.environment == {"A": "1", "B": "3"}
    assert rootana.options == {"calib": ("-x", "-y"), "calibdatabase": ("-d", "{calibdatabase}")}
    assert found.files[1:] == (str(house.system), str(house.user), str(house.here))


def test_the_users_file_follows_xdg(house: House) -> None:
    house.write(house.user, "nproc = 1\n")
    house.write(house.root / "xdg/run_production/production.toml", "nproc = 2\n")
    assert house.load(environ={"XDG_CONFIG_HOME": str(house.root / "xdg")}).nproc == 2
    assert house.load(environ={"XDG_CONFIG_HOME": ""}).nproc == 1
    assert house.load(environ={"XDG_CONFIG_HOME": "relative"}).nproc == 1


def test_config_may_be_the_file_that_is_read_anyway(house: House) -> None:
    house.write(house.here, "nproc = 1\n")
    assert house.load("./production.toml").files[1:] == (str(house.here),)
    assert house.load("~/../work/production.toml").nproc == 1


def test_a_relative_path_starts_where_its_file_is(house: House) -> None:
    house.write(house.system, 'data = "data"\n')
    house.write(house.user, 'database = "../production.db"\n')
    house.write(house.work / "site/site.toml", GOOD + "[programs.rootana]\nmodules = 'modules.txt'\n")
    found = house.load("site/site.toml", calibdatabase="calib db")
    assert found.data == str(house.system.parent / "data")
    assert found.database == f"{house.user.parent}/../production.db"
    assert found.programs["lifetime"].script == str(house.work / "site/lifetime.sh")
    assert found.programs["rootana"].modules == str(house.work / "site/modules.txt")
    assert found.calibdatabase == str(house.work / "calib db")


@pytest.mark.feature("AC-33")
def test_flags(house: House) -> None:
    house.write(house.work / "my modules", "x")
    found = house.load(
        modules="my modules", calib=True, calibdatabase="~/calib.db", follow=True, database="a.db", data="~", batch="slurm",
        pause="0.5", nproc="12", spacelim="80.5", archive="/pnfs/raw", niceness=19, nprep="0",
    )  # fmt: skip
    assert found.modules == str(house.work / "my modules")
    assert (found.calib, found.follow, found.batch.system) == (True, True, "slurm")
    assert found.calibdatabase == str(house.home / "calib.db")
    assert (found.database, found.data, found.archive.url) == (str(house.work / "a.db"), str(house.home), "/pnfs/raw")
    assert (found.pause, found.nproc, found.spacelim, found.niceness, found.nprep) == (0.5, 12, 80.5, 19, 0)


# --- the shipped programs ---------------------------------------------------------------------------------------------


def test_the_shipped_programs(house: House) -> None:
    programs = house.load().programs
    alcapana, rootana = programs["alcapana"], programs["rootana"]
    for program in (alcapana, rootana):
        assert pathlib.Path(program.script) == ROOT / f"sge_scripts/{program.name}.sge"
        assert os.access(program.script, os.X_OK)
    assert [output.name for output in alcapana.outputs] == ["tree", "hist", "odb"]
    assert [output.check for output in alcapana.outputs] == ["root", "root", "exists"]
    assert (alcapana.input, alcapana.staged) == ("run{run:05d}.mid", "raw/run{run:05d}.mid")
    assert (alcapana.home, alcapana.link) == ("private", ("data/odb", "data/corr"))
    assert (rootana.base, rootana.home, [one.name for one in rootana.outputs]) == ("alcapana.tree", "shared", ["out"])
    assert settings.needs(rootana, "modules")
    assert not settings.needs(alcapana, "modules")


def test_a_third_program_is_a_table_in_a_file(house: House) -> None:
    house.write(
        house.here,
        """
[programs.lifetime]
script = "~/bin/lifetime.sh"
arguments = ["{run:05d}", "--in={input}", "{fit}", "a b", "{{}}"]
input = "2013/run{run:05d}.mid"
home = "private"
link = ["data/odb"]
scratch = ["tmp"]
environment = { OMP_NUM_THREADS = "4" }
resources = { time = "1-02:00:00", memory = "512M", cores = 4 }
retry = { limit = 5, pause = 1, factor = 1.5, longest = 60 }
outputs.fit = { path = "fit/v{version}/fit{run}.root", check = "command", minimum = "1K", command = ["./check.sh", "-q"] }
outputs.plot = { path = "plot/v{version}/{run}.{attempt}.pdf", written = "plots/{run}.pdf", optional = true }
""",
    )
    assert house.load().programs["lifetime"] == settings.Program(
        name="lifetime",
        script=str(house.home / "bin/lifetime.sh"),
        arguments=("{run:05d}", "--in={input}", "{fit}", "a b", "{{}}"),
        input="2013/run{run:05d}.mid",
        staged="raw/2013/run{run:05d}.mid",
        home="private",
        link=("data/odb",),
        scratch=("tmp",),
        environment={"OMP_NUM_THREADS": "4"},
        resources=runs.Resources(time=26 * 3600, memory=512 * 2**20, cores=4),
        retry=settings.Retry(limit=5, pause=1, factor=1.5, longest=60),
        outputs=(
            settings.OutputSettings(
                "fit", "fit/v{version}/fit{run}.root", "", "command", 1024, (str(house.work / "check.sh"), "-q")
            ),
            settings.OutputSettings("plot", "plot/v{version}/{run}.{attempt}.pdf", "plots/{run}.pdf", optional=True),
        ),
    )


def test_an_empty_text_takes_back_what_a_lower_layer_said(house: House) -> None:
    house.write(house.system, 'archive = "/pnfs"\n')
    house.write(house.here, 'archive = ""\nprograms.rootana.resources.time = ""\nprograms.rootana.base = ""\n'
                            'programs.rootana.input = "tree{run}.root"\n')  # fmt: skip
    found = house.load()
    assert found.archive.url == ""
    assert found.programs["rootana"].resources.time is None
    assert (found.programs["rootana"].base, found.programs["rootana"].staged) == ("", "raw/tree{run}.root")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("'1:30:00'", 5400), ("'01:04:00'", 3840), ("'90m'", 5400), ("'2 d'", 172800), ("'1.5h'", 5400), ("90", 90), ("'45s'", 45), ("1.5", 1.5)],
)  # fmt: skip
def test_times(house: House, text: str, seconds: float) -> None:
    house.write(house.here, f"programs.alcapana.resources.time = {text}\n")
    assert house.load().programs["alcapana"].resources.time == seconds


@pytest.mark.parametrize(
    ("text", "size"), [("'2G'", 2**31), ("'1.5 GB'", 3 * 2**29), ("'512MiB'", 2**29), ("1048576", 2**20)]
)
def test_memory(house: House, text: str, size: int) -> None:
    house.write(house.here, f"programs.alcapana.resources.memory = {text}\n")
    assert house.load().programs["alcapana"].resources.memory == size


# --- archives ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("/pnfs/raw", "/pnfs/raw"),
        ("/pnfs/a b/µ 100%25/", "/pnfs/a b/µ 100%25"),
        ("~/raw", "HOME/raw"),
        ("raw", "WORK/raw"),
        ("./a:b", "WORK/a:b"),
        ("file:/pnfs/raw", "/pnfs/raw"),
        ("file:///pnfs/a%20b%25/%C2%B5", "/pnfs/a b%/µ"),
        ("FILE://localhost/pnfs", "/pnfs"),
        ("file:raw", "WORK/raw"),
        ("file:~/raw", "HOME/raw"),
        ("file:/pnfs/x?y#z@a:b", "/pnfs/x?y#z@a:b"),
        ("ftp://archive.example.org/raw", "ftp://archive.example.org/raw"),
        ("ftps://me@archive.example.org:2121/raw", "ftps://me@archive.example.org:2121/raw"),
        ("sftp:archive.example.org/raw", "sftp:archive.example.org/raw"),
    ],
)
def test_archives(house: House, written: str, found: str) -> None:
    found = found.replace("HOME", str(house.home)).replace("WORK", str(house.work))
    house.write(house.here, f"archive = '{written}'\n")
    assert house.load().archive.url == found
    house.write(house.here, f"archive = {{ url = '{written}', transfers = 5 }}\n")
    assert (house.load().archive.url, house.load().archive.transfers) == (found, 5)
    assert house.load(archive=written).archive.url == found


def test_the_whole_table_of_an_archive(house: House) -> None:
    """The short form in one file and the table in another speak of the same archive."""
    house.write(
        house.system,
        """
[archive]
url = "ftp://tape.example.org:2811/mu2e"
transfers = 4
netrc = "secrets/netrc"
recall = 0
first_byte = 7200
stall = 30
tries = 5
stage = "SITE STAGE {}"
unstage = "SITE UNSTAGE {}"
""",
    )
    expected = settings.Archive(
        url="ftp://tape.example.org:2811/mu2e", transfers=4, netrc=str(house.system.parent / "secrets/netrc"), recall=0,
        first_byte=7200.0, stall=30.0, tries=5, stage="SITE STAGE {}", unstage="SITE UNSTAGE {}",
    )  # fmt: skip
    assert house.load().archive == expected
    house.write(house.here, 'archive = "ftps://other.example.org/raw"\n')
    assert house.load().archive == dataclasses.replace(expected, url="ftps://other.example.org/raw")
    house.write(house.here, 'archive = { stage = "", netrc = "" }\n')
    assert house.load().archive == dataclasses.replace(expected, stage="", netrc=str(house.home / ".netrc"))


# --- the disk's limit -------------------------------------------------------------------------------------------------


@pytest.mark.feature("AC-15")
def test_a_quota_and_the_per_cent_of_it(house: House) -> None:
    """All of the disk without a quota, 90 per cent of it with one, unless somebody said how much."""
    house.write(house.system, '[quota]\nreader = "mmlsquota"\narguments = ["-j", "alcap", "gpfs0"]\ninterval = 60\n')
    found = house.load()
    assert found.quota == settings.Quota("mmlsquota", None, ("-j", "alcap", "gpfs0"), 60.0)
    assert found.spacelim == 90.0
    assert house.load(spacelim="100").spacelim == 100.0
    house.write(house.here, 'spacelim = 80\nquota = { reader = "directory", limit = "2T", arguments = [] }\n')
    found = house.load()
    assert (found.quota, found.spacelim) == (settings.Quota("directory", 2 * 2**40, (), 60.0), 80.0)
    house.write(house.here, 'quota.reader = "filesystem"\nquota.limit = ""\nquota.arguments = []\n')
    assert house.load().quota == settings.Quota(interval=60.0)


def test_an_empty_quota_is_one(house: House) -> None:
    house.write(house.here, "[quota]\n")
    assert (house.load().quota, house.load().spacelim) == (settings.Quota(), 90.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\nreader = 'df'", '3: quota.reader: "df" is not allowed; "filesystem" or "directory" or "mmlsquota" or "lfs" or "quota"'),
        ("limit = '2 lots'", '2: quota.limit: "2 lots" is not allowed; bytes, or a text as "2G" (K, M, G, T: powers of 1024)'),
        ("limit = 2", '2: quota.limit: 2 is not allowed; bytes, or a text as "2G" (K, M, G, T: powers of 1024), at least 1M'),
        ("interval = 0.5", "2: quota.interval: 0.5 is not allowed; seconds from 1 to 3600"),
        ("arguments = '-u me'", '2: quota.arguments: "-u me" is not allowed; an array of texts, in [ ]'),
        ("arguments = ['-u']", '2: quota.arguments: reader = "filesystem" is no command: leave the arguments out'),
        ("reader = 'directory'\nlimit = '1T'\narguments = ['/x']", '4: quota.arguments: reader = "directory" is no command: leave the arguments out'),
        ("\nreader = 'directory'", '3: quota.reader: a directory has no limit of its own; say one, as limit = "2T"'),
        ("raeder = 'lfs'", '2: quota.raeder: no such key; did you mean "reader"?'),
    ],
)  # fmt: skip
def test_quotas_that_make_no_sense(house: House, text: str, message: str) -> None:
    assert house.refusal(f"[quota]\n{text}\n") == f"production.toml:{message}"


@pytest.mark.parametrize(
    "url",
    [
        "ftp://me:secret@host/raw", "sftp:me:secret@host/raw", "ftps://me:se:cret@host", "ftp:/me:secret@host", "http://me:secret@h/x",
        "ftp://me:@host/raw", " ftp://me:secret@host/raw", "ftp ://me:secret@host/raw", "<ftp://me:secret@host/raw>",
    ],
)  # fmt: skip
def test_a_password_is_neither_taken_nor_repeated(house: House, url: str) -> None:
    mend = "use a key or an agent" if url.startswith("sftp") else "put it in ~/.netrc"
    problem = f"no password in the URL; {mend}"
    assert house.refusal(f"\narchive = '{url}'\n") == f"production.toml:2: archive: {problem}"
    assert (
        house.refusal(f"archive.transfers = 2\narchive.url = '{url}'\n") == f"production.toml:2: archive.url: {problem}"
    )
    assert house.refusal("", archive=url) == f"--archive: {problem}"


# --- what is refused, in a file ---------------------------------------------------------------------------------------

ONE_OF_THE_TIMES = 'seconds, or a text as "1:30:00" or "90m", at most 366 days'
ONE_ORDER = 'one line with one {} for the file, as "STAGE {}"; empty: the server knows none'
KNOWN = "the fields are {attempt} {program} {run} {version}"

KEYS: list[tuple[str, str]] = [
    ("nporc = 3", '1: nporc: no such key; did you mean "nproc"?'),
    ("\n\n[programs.alcapana]\n# x\nscrpit = 'a'", '5: programs.alcapana.scrpit: no such key; did you mean "script"?'),
    ("[programs.alcapana]\noptions.kalib = []", '2: programs.alcapana.options.kalib: no such key; did you mean "calib"?'),
    ("[programs.alcapana.retry]\nzzz = 1", "2: programs.alcapana.retry.zzz: no such key; there is factor, limit, longest, memory, pause, time"),
    ("archive = {}\narchives = 1", '2: archives: no such key; did you mean "archive"?'),
    ("archive.trasnfers = 1", '1: archive.trasnfers: no such key; did you mean "transfers"?'),
    ('"n proc" = 3', '1: "n proc": no such key; did you mean "nproc"?'),
    ("follow = true", ("1: follow: no such key; there is archive, batch, consecutive, data, database, grace, lease,"
                      " niceness, nprep, nproc, pause, programs, quota, spacelim")),
    ("programs = 5", "1: programs: 5 is not allowed; a table"),
    ("[[programs.alcapana]]\nscript = 'x'", "1: programs.alcapana: an array is not allowed; a table"),
]  # fmt: skip

VALUES: list[tuple[str, str]] = [
    ("\n\nnproc = 0", "3: nproc: 0 is not allowed; a whole number from 1 to 10000"),
    ("nproc = 10001", "1: nproc: 10001 is not allowed; a whole number from 1 to 10000"),
    ("nproc = true", "1: nproc: true is not allowed; a whole number from 1 to 10000"),
    ("nproc = 5.0", "1: nproc: 5.0 is not allowed; a whole number from 1 to 10000"),
    ("nproc = '5'", '1: nproc: "5" is not allowed; a whole number from 1 to 10000'),
    ("nproc = []", "1: nproc: an array is not allowed; a whole number from 1 to 10000"),
    ("nproc = {}", "1: nproc: a table is not allowed; a whole number from 1 to 10000"),
    ("nproc = 2013-07-01", "1: nproc: 2013-07-01 is not allowed; a whole number from 1 to 10000"),
    ("nprep = -1", "1: nprep: -1 is not allowed; a whole number from 0 to 10000"),
    ("pause = 0.04", "1: pause: 0.04 is not allowed; seconds from 0.05 to 3600"),
    ("pause = nan", "1: pause: nan is not allowed; seconds from 0.05 to 3600"),
    ("pause = false", "1: pause: false is not allowed; seconds from 0.05 to 3600"),
    ("grace = inf", "1: grace: inf is not allowed; seconds from 0 to 3600"),
    ("lease = 9.9", "1: lease: 9.9 is not allowed; seconds from 10 to 86400"),
    ("spacelim = 0.9", "1: spacelim: 0.9 is not allowed; per cent, e.g. 90, more than 1 and at most 100"),
    ("spacelim = 1", "1: spacelim: 1 is not allowed; per cent, e.g. 90, more than 1 and at most 100"),
    ("spacelim = 100.1", "1: spacelim: 100.1 is not allowed; per cent, e.g. 90, more than 1 and at most 100"),
    ("niceness = 20", "1: niceness: 20 is not allowed; a whole number from 0 to 19"),
    ("consecutive = 0", "1: consecutive: 0 is not allowed; a whole number from 1 to 1000"),
    ("archive = {\turl = '/x', transfers = 17 }", "1: archive.transfers: 17 is not allowed; a whole number from 1 to 16"),
    ("archive.recall = -1", "1: archive.recall: -1 is not allowed; a whole number from 0 to 10000"),
    ("archive.first_byte = 0.5", "1: archive.first_byte: 0.5 is not allowed; seconds from 1 to 86400"),
    ("archive.stall = '1m'", '1: archive.stall: "1m" is not allowed; seconds from 1 to 3600'),
    ("archive.tries = 0", "1: archive.tries: 0 is not allowed; a whole number from 1 to 100"),
    *(
        (f"archive.stage = {order}", f"1: archive.stage: {order} is not allowed; {ONE_ORDER}")
        for order in ('"STAGE"', '"STAGE {} {}"', '"STAGE {}\\r\\nDELE {}"', '"STAGE\\n{}"')
    ),
    ("archive = 'ftp://h:0/x'", "1: archive: no such port in the URL; a whole number from 1 to 65535"),
    ("archive = 'ftp://h:65536/x'", "1: archive: no such port in the URL; a whole number from 1 to 65535"),
    ("archive = 'ftps://me@h:ftp/x'", "1: archive: no such port in the URL; a whole number from 1 to 65535"),
    ("batch = 'pbs'", '1: batch: "pbs" is not allowed; "local" or "sge" or "slurm"'),
    ("batch = ['sge']", "1: batch: an array is not allowed; a table"),
    ("[batch]\nsystem = 'sge'\ntask = 9", '3: batch.task: no such key; did you mean "tasks"?'),
    ("[batch]\nparallel = 'smp 8'", '2: batch.parallel: "smp 8" is not allowed; a name of letters, digits and _.-, a letter first'),
    ("[batch]\npoll = 0", "2: batch.poll: 0 is not allowed; seconds from 0.05 to 3600"),
    ("data = 5", "1: data: 5 is not allowed; a text"),
    ("data = ''", "1: data: empty; the path of a directory"),
    ("database = ''", "1: database: empty; the database's path"),
    ("database = '$HOME/production.db'", "1: database: $ is not expanded in a path; write ~ for the home directory"),
    ("database = '~no-such-user/x'", "1: database: no such user: ~no-such-user"),
    ("database = 'postgresql://me:secret@host/x'", "1: database: no password in the URL; put it in ~/.netrc"),
    ("data = \"a\\u0000b\"", '1: data: "a\\u0000b" is not allowed; a text'),
    (f"batch = '{'x' * 100}'", f'1: batch: "{"x" * 55}..." is not allowed; "local" or "sge" or "slurm"'),
    ("archive = 'http://host/x'", ('1: archive: http: is no archive we know; a directory, "file:/directory", "ftp://host/directory",'
                                  ' "ftps://…" or "sftp://…"; a path with a colon: ./http:…')),
    ("archive = 'file://host/x'", "1: archive: a file: URL has no host; file:/directory"),
    ("archive = 'ftp:///x'", ('1: archive: no host in the URL; a directory, "file:/directory", "ftp://host/directory",'
                             ' "ftps://…" or "sftp://…"')),
]  # fmt: skip

OF_A_PROGRAM: list[tuple[str, str]] = [
    ("resources.time = '1:04'", f'resources.time: "1:04" is not allowed; {ONE_OF_THE_TIMES}'),
    ("resources.time = 0", f"resources.time: 0 is not allowed; {ONE_OF_THE_TIMES}"),
    ("resources.time = true", f"resources.time: true is not allowed; {ONE_OF_THE_TIMES}"),
    ("resources.time = '400d'", f'resources.time: "400d" is not allowed; {ONE_OF_THE_TIMES}'),
    ("resources.memory = '2X'", 'resources.memory: "2X" is not allowed; bytes, or a text as "2G" (K, M, G, T: powers of 1024)'),
    ("resources.memory = 2", 'resources.memory: 2 is not allowed; bytes, or a text as "2G" (K, M, G, T: powers of 1024), at least 1M'),
    ("resources.memory = true", 'resources.memory: true is not allowed; bytes, or a text as "2G" (K, M, G, T: powers of 1024)'),
    ("resources.cores = 1025", "resources.cores: 1025 is not allowed; a whole number from 1 to 1024"),
    ("retry.limit = 101", "retry.limit: 101 is not allowed; a whole number from 1 to 100"),
    ("retry.factor = 0.5", "retry.factor: 0.5 is not allowed; a number from 1 to 100"),
    ("home = 'own'", 'home: "own" is not allowed; "private" or "shared"'),
    ("arguments = '{run}'", 'arguments: "{run}" is not allowed; an array of texts, in [ ]'),
    ("arguments = ['{fit}', 5]", "arguments[1]: 5 is not allowed; a text"),
    ("arguments = ['{fit}', '{rnu}']", ("arguments[1]: {rnu}: no such field; the fields are {attempt} {calibdatabase} {data} {fit}"
                                       " {input} {modules} {program} {run} {version}")),
    ("options.calib = ['{run!r}']", "options.calib[0]: {run!r}: cannot be converted; write {run}"),
    ("environment = { A = 4 }", "environment.A: 4 is not allowed; a text"),
    ("environment.'A B' = ''", 'environment."A B": no name for an environment variable'),
    ("input = 'run{run:zz}.mid'", "input: {run:zz}: cannot be formatted; write e.g. {run:05d}"),
    ("input = '/pnfs/{run}.mid'", 'input: "/pnfs/{run}.mid" is not allowed; a relative path'),
    ("staged = '../{run}.mid'", 'staged: "../{run}.mid" is not allowed; a path without ".."'),
    ("staged = 'raw/{tree}.mid'", f"staged: {{tree}}: no such field; {KNOWN}"),
    ("base = 'alcapana.tree'", "base: a program has an input or a base, not both"),
    ("scratch = ['.']", 'scratch[0]: "." is not allowed; a relative path, without / at its end'),
    ("scratch = ['tmp']", 'scratch[0]: "tmp" is not allowed; a directory with {run}, or home = "private"'),
    ("link = ['data/odb']", "link: links are made into a private home only; add home = \"private\", or leave link out"),
    ("link = ['~/x']", 'link[0]: "~/x" is not allowed; a relative path'),
    ("outputs.status.path = 'x{run}'", "outputs.status: no name for an output: it already means something else; choose another"),
    ("outputs.input.path = 'x{run}'", "outputs.input: no name for an output: it already means something else; choose another"),
    ("outputs.Fit.path = 'x{run}'", "outputs.Fit: no name for an output; small letters, digits and _, a letter first, at most 40"),
    ("outputs.fit.path = '/x{run}'", 'outputs.fit.path: "/x{run}" is not allowed; a relative path'),
    ("outputs.fit.path = 'a/../x{run}'", 'outputs.fit.path: "a/../x{run}" is not allowed; a path without ".."'),
    ("outputs.fit.path = 'x/'", 'outputs.fit.path: "x/" is not allowed; a relative path, without / at its end'),
    ("outputs.fit.path = 'x'", 'outputs.fit.path: "x" is not allowed; a path with {run}, or the runs overwrite each other'),
    ("outputs.fit.path = 'x{run}'", ('outputs.fit.path: "x{run}" is not allowed;'
        " a path with {version}, or the next version finds this one's file in its way")),
    ("outputs.fit.path = 'x{fit}'", f"outputs.fit.path: {{fit}}: no such field; {KNOWN}"),
    ("outputs.fit.path = ''", "outputs.fit: no path"),
    ("outputs.fit.written = '/x'", 'outputs.fit.written: "/x" is not allowed; a relative path'),
    ("outputs.fit.written = '{run'", "outputs.fit.written: a brace without its partner; a brace itself is written {{ or }}"),
    ("outputs.fit.check = 'rooot'", 'outputs.fit.check: "rooot" is not allowed; "exists" or "root" or "command"'),
    ("outputs.fit.check = 'command'", "outputs.fit.check: no command; which one checks the file?"),
    ("outputs.fit.minimum = -1", 'outputs.fit.minimum: -1 is not allowed; bytes, or a text as "2G" (K, M, G, T: powers of 1024)'),
    ("outputs.fit.optional = 1", "outputs.fit.optional: 1 is not allowed; true or false"),
    ("outputs.b.written = 'b'", "outputs.b: no path"),
    ("outputs.b.path = 'b{run}v{version}'", "outputs.b: nobody tells the script where; set written, or use {b} in arguments"),
    ("outputs.b.path = 'fit/./v{version}//fit{run:05}.root'", ('outputs.b.path: "fit/./v{version}//fit{run:05}.root" is also'
     " programs.lifetime.outputs.fit.path; one of them needs another path")),
    ("outputs.fit.path = 'raw/run{run:05d}.mid'", ('outputs.fit.path: "raw/run{run:05d}.mid" is also programs.lifetime.staged;'
     " one of them needs another path")),
]  # fmt: skip

PROGRAMS: list[tuple[str, str]] = [
    ("[programs.run]", "1: programs.run: no name for a program: it already means something else; choose another"),
    ("[programs.sqlite_x]", "1: programs.sqlite_x: no name for a program: it already means something else; choose another"),
    ("[programs.'a b']", '1: programs."a b": no name for a program; small letters, digits and _, a letter first, at most 40'),
    ("[programs.Fit]", "1: programs.Fit: no name for a program; small letters, digits and _, a letter first, at most 40"),
    ("[programs._a]", "1: programs._a: no name for a program; small letters, digits and _, a letter first, at most 40"),
    ("\n[programs.a]\n", "2: programs.a: no script"),
    ("\n[programs.alcapnaa]\nlink = []", '2: programs.alcapnaa: no script; did you mean "alcapana"?'),
    ("[programs.a]\nscript = 'x'\narguments = [\n\n'{input}']",
     "5: programs.a.arguments[0]: {input} is nothing: the program has neither input nor base"),
    ("[programs.a]\nscript = 'x'\nbase = 'alcapana'",
     '3: programs.a.base: "alcapana" is not allowed; a program and its output, as "alcapana.tree"'),
    ("[programs.a]\nscript = 'x'\nbase = 'alcapan.tree'", '3: programs.a.base: no program "alcapan"; did you mean "alcapana"?'),
    ("[programs.a]\nscript = 'x'\nbase = 'alcapana.tre'", '3: programs.a.base: alcapana has no output "tre"; did you mean "tree"?'),
    ("[programs.alcapana]\ninput = ''\nbase = 'rootana.out'",
     "3: programs.alcapana.base: bases in a circle: alcapana → rootana → alcapana"),
    ("[programs.a]\nscript = 'x'\nbase = 'a.b'\noutputs.b = { path = 'b{version}/{run}', written = 'b' }",
     "3: programs.a.base: bases in a circle: a → a"),
    ("[programs.a]\nscript = 'x'\noutputs.b = { path = 'b{version}/{run}', written = 'b' }\noutputs.c = { path = 'c{version}/{run}',\twritten = './b' }",
     '4: programs.a.outputs.c.written: "./b" is also programs.a.outputs.b.written; one of them needs another path'),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), KEYS + VALUES)
def test_a_wrong_key_or_value_names_file_line_and_key(house: House, text: str, message: str) -> None:
    assert house.refusal(text + "\n") == f"production.toml:{message}"


@pytest.mark.parametrize(("text", "message"), OF_A_PROGRAM)
def test_what_is_wrong_with_a_program(house: House, text: str, message: str) -> None:
    """The good program stands in the system's file, what spoils it in the working directory's."""
    house.write(house.system, GOOD)
    assert house.refusal(f"\n[programs.lifetime]\n{text}\n") == f"production.toml:3: programs.lifetime.{message}"


@pytest.mark.parametrize(("text", "message"), PROGRAMS)
def test_programs_that_make_no_sense(house: House, text: str, message: str) -> None:
    assert house.refusal(text) == f"production.toml:{message}"


def test_a_mistyped_output_in_the_arguments_is_shown_where_they_stand(house: House) -> None:
    """Not where the output stands, which nobody tells the script of only because of the slip."""
    typo = "[programs.lifetime]\n\narguments = [\n  '{input}',\n  '{fti}',\n]\n"
    known = "{attempt} {calibdatabase} {data} {fit} {input} {modules} {program} {run} {version}"
    slip = f"programs.lifetime.arguments[1]: {{fti}}: no such field; the fields are {known}"
    assert house.refusal(GOOD.replace("{fit}", "{fti}")) == f"production.toml:4: {slip}"
    house.write(house.system, GOOD)
    assert house.refusal(typo) == f"production.toml:5: {slip}"
    house.write(house.here, "[programs.lifetime.outputs.fit]\nminimum = 5\n[programs.lifetime]\ninput = 'x{run}'\n")
    house.write(house.user, typo)
    assert house.refusal() == f"~/.config/run_production/production.toml:5: {slip}"


def test_another_home_for_a_shipped_program_makes_its_links_superfluous(house: House) -> None:
    house.write(house.here, "[programs.alcapana]\nhome = 'shared'\n")
    assert house.load().programs["alcapana"].home == "shared"


@pytest.mark.feature("PK-07")
def test_a_longer_circle_and_a_program_that_hangs_on_it(house: House) -> None:
    text = "".join(
        f"[programs.{name}]\nscript = 'x'\nbase = '{base}.o'\noutputs.o = {{ path = '{name}{{version}}/{{run}}', written = 'o' }}\n"
        for name, base in (("d", "a"), ("a", "b"), ("b", "c"), ("c", "a"))
    )
    assert house.refusal(text) == "production.toml:3: programs.d.base: bases in a circle: a → b → c → a"


def test_the_message_names_the_layer_the_value_is_from(house: House) -> None:
    """Here the base is good where it stands; the file below took its output's script away."""
    house.write(house.system, "[programs.rootana]\narguments = ['{input}', '{out}', '{tree}']\n")
    house.write(house.user, "[programs.rootana]\nretry.limit = 4\n")
    known = "{attempt} {calibdatabase} {data} {input} {modules} {out} {program} {run} {version}"
    assert house.refusal() == (
        f"{house.system}:2: programs.rootana.arguments[2]: {{tree}}: no such field; the fields are {known}"
    )
    house.write(house.user, "nproc = 0\n")
    assert house.refusal().startswith("~/.config/run_production/production.toml:1: nproc: 0 ")


# --- what is refused, of flags ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"nproc": 0}, "--nproc=0: not allowed; a whole number from 1 to 10000"),
        ({"nproc": "many"}, "--nproc=many: not allowed; a whole number from 1 to 10000"),
        ({"nproc": "5.5"}, "--nproc=5.5: not allowed; a whole number from 1 to 10000"),
        ({"nproc": "٣"}, "--nproc=٣: not allowed; a whole number from 1 to 10000"),
        ({"nproc": "9" * 5000}, f"--nproc={'9' * 5000}: not allowed; a whole number from 1 to 10000"),
        ({"nproc": "1\n2"}, '--nproc="1\\n2": not allowed; a whole number from 1 to 10000'),
        ({"pause": "nan"}, "--pause=nan: not allowed; seconds from 0.05 to 3600"),
        ({"pause": "."}, "--pause=.: not allowed; seconds from 0.05 to 3600"),
        ({"pause": float("inf")}, "--pause=inf: not allowed; seconds from 0.05 to 3600"),
        ({"spacelim": "0.9"}, "--spacelim=0.9: not allowed; per cent, e.g. 90, more than 1 and at most 100"),
        ({"batch": "pbs"}, '--batch=pbs: not allowed; "local" or "sge" or "slurm"'),
        ({"modules": "lost"}, "--modules=lost: cannot be read: No such file or directory"),
        ({"modules": "."}, "--modules=.: not a regular file"),
        ({"database": ""}, "--database: empty; the database's path"),
        ({"colour": "red"}, "--colour=red: no such key; there is archive"),
    ],
)
def test_a_wrong_flag_is_named(house: House, flags: dict[str, Any], message: str) -> None:
    refusal = house.refusal(**flags)
    assert refusal.startswith(message) if "colour" in flags else refusal == message


# --- files that can't be read -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"nproc = 3\nnprep\n", ("production.toml:2: Expected '=' after a key in a key/value pair (column 6);"
            " write key = value; a text stands in quotes, a comment begins with #")),
        (b"[quota]\r\nlimit = 3M\r\nlimit = 4\r\n", ("production.toml:2: quota.limit: Expected newline or end of document"
            ' after a statement (column 10); one key = value a line; a text stands in quotes, as limit = "2T"; no 0 before a number')),
        (b"nproc = 3\nnproc = 4\n", ("production.toml:2: nproc: Cannot overwrite a value (column 10);"
            " it is set above already: leave one of them out")),
        (b"archive = ftp://me:geheim@host/raw\n", ("production.toml:1: archive: Invalid value (column 11);"
            ' a text stands in quotes, as key = "text"; true and false are written small')),
        (b'[programs.a]\nscript = "x\n', ("production.toml:2: programs.a.script: Illegal character '\\n' (column 12);"
            " a text that begins with a quote ends with one, on the same line")),
        (b"a = [\n1,\n", ("production.toml:3: Invalid value (end of the file);"
            ' a text stands in quotes, as key = "text"; true and false are written small')),
        (b"nproc = 3\n# caf\xe9\n", "production.toml:2: not UTF-8 text; save it as UTF-8, e.g. by iconv -f latin1 -t utf8"),
        ("nproc = 3".encode("utf-16"), "production.toml: it is UTF-16 text; save it as UTF-8"),
        (bytes(range(256)), "production.toml: it is no text file; is it the right one?"),
        (b"#" * (4 * 2**20 + 1), "production.toml: too long for a settings file, more than 4194304 bytes; is it the right one?"),
    ],
)  # fmt: skip
def test_a_file_that_is_not_toml(house: House, text: bytes, message: str) -> None:
    assert house.refusal(text) == message


@pytest.mark.parametrize("text", ["nproc = " + "9" * 5000, "nproc = " + "[" * 5000 + "]" * 5000])
def test_a_file_that_overwhelms_the_parser(house: House, text: str) -> None:
    assert house.refusal(text).startswith("production.toml: cannot be read: ")


def test_a_byte_order_mark_tabs_and_windows_line_ends_do_no_harm(house: House) -> None:
    house.write(house.here, b"\xef\xbb\xbf\tnproc\t=\t3\r\n\r\n")
    assert house.load().nproc == 3


def test_only_config_must_exist(house: House) -> None:
    with pytest.raises(errors.UsageError, match=r"^lost\.toml: no such file$"):
        house.load("lost.toml")


def test_a_directory_and_a_circle_of_links_are_no_files(house: House) -> None:
    house.here.mkdir()
    assert house.refusal() == "production.toml: a directory; move it away, or write the settings there"
    house.here.rmdir()
    house.here.symlink_to(house.here)
    told = "production.toml: cannot be read: Too many levels of symbolic links; mend it or move it away"
    assert house.refusal() == told


def test_a_link_to_nothing_and_a_pipe_are_told_and_not_waited_for(house: House) -> None:
    house.here.symlink_to("nowhere")
    assert house.refusal() == "production.toml: a symbolic link to nothing (nowhere); mend or remove it"
    house.here.unlink()
    os.mkfifo(house.here)
    assert house.refusal() == "production.toml: no regular file; move it away, or write the settings there"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_of_somebody_else_is_not_passed_over(house: House) -> None:
    house.write(house.here, "").chmod(0)
    assert house.refusal() == "production.toml: may not be read by you; mend: chmod a+r production.toml"


# --- ranges, paths, and whatever else is written ----------------------------------------------------------------------


def test_every_number_has_its_range_in_words() -> None:
    assert str(settings.RANGES["nproc"]) == "a whole number from 1 to 10000"
    names = {field.name for field in dataclasses.fields(settings.Settings)}
    assert {name for name in settings.RANGES if "." not in name} - {"cores"} <= names


@pytest.mark.parametrize("name", [name for name in settings.RANGES if "." not in name and name != "cores"])
def test_the_ends_of_a_range_are_in_it(house: House, name: str) -> None:
    allowed = settings.RANGES[name]
    assert getattr(house.load(**{name: str(allowed.high)}), name) == allowed.high  # type: ignore[arg-type]
    low = allowed.low + (0.01 if allowed.above else 0)
    assert getattr(house.load(**{name: str(low)}), name) == low  # type: ignore[arg-type]


def test_the_home_of_another_user(house: House) -> None:
    user = pwd.getpwuid(0)
    assert house.load(data=f"~{user.pw_name}/data").data == os.path.join(user.pw_dir, "data")
    assert house.load(data="~").data == str(house.home)
    assert house.load(data="a~b/~").data == str(house.work / "a~b/~")


def test_expand_is_at_the_door() -> None:
    assert settings.expand("tree{run:05d}.root", {"run": 2091}) == "tree02091.root"


SAID = strategies.recursive(
    strategies.none().map(lambda _: "x") | strategies.booleans() | strategies.integers() | strategies.floats() | strategies.text(),
    lambda below: strategies.lists(below, max_size=2) | strategies.dictionaries(strategies.text(max_size=3), below, max_size=2),
    max_leaves=4,
)  # fmt: skip


@hypothesis.given(
    strategies.dictionaries(
        strategies.sampled_from(["database", "data", "archive", "batch", "pause", "nproc", "calib", "calibdatabase", "modules", "x"]), SAID
    )
)  # fmt: skip
def test_whatever_is_said_the_answer_is_settings_or_one_line(flags: dict[str, object]) -> None:
    try:
        found = settings.load(
            config=None, flags=flags, environ={}, cwd="/nowhere", home="/home/me", system="/nowhere/x"
        )
    except errors.UsageError as error:
        assert "\n" not in str(error)
    else:
        assert os.path.isabs(found.database)
        assert os.path.isabs(found.data)


# --- what the README shows --------------------------------------------------------------------------------------------


def _shown() -> list[str]:
    readme = (pathlib.Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    return [textwrap.dedent(block) for block in re.findall(r"```toml\n(.*?)```", readme, re.DOTALL)]


def test_each_example_of_the_readme_is_right(house: House) -> None:
    blocks = _shown()
    assert len(blocks) >= 5
    for block in blocks:
        house.write(house.here, block)
        house.load()


def test_the_examples_of_the_readme_make_one_file(house: House) -> None:
    """The table [archive] stands instead of the line."""
    lines = "\n".join(_shown()).splitlines()
    house.write(house.here, "\n".join(line for line in lines if not line.strip().startswith("archive = ")))
    found = house.load()
    assert {"lifetime", "oldana"} <= found.programs.keys()
    assert (found.archive.url, found.quota.reader, found.spacelim) == ("ftp://archive.lab.org:2811/mu/raw", "lfs", 90)
