"""An archive behind FTP, tried with the commands that people type: logins, faults, tapes, and a password that nobody sees."""

from __future__ import annotations

import os
import pathlib
import random
import re
import threading
from collections.abc import Iterator

import pytest

from tests.acceptance.campaign import Campaign, until
from tests.services import ftp, hostile_ftp

SIM = """
[programs.sim]
script = "sim.sh"
arguments = ["{input}", "{tree}"]
input = "run{run:05d}.mid"
retry = { limit = 100, pause = 0.2, factor = 1 }

[programs.sim.outputs.tree]
path = "tree/v{version}/tree{run:05d}.dat"
minimum = 0
"""


@pytest.fixture
def server(campaign: Campaign) -> Iterator[hostile_ftp.Server]:
    one = hostile_ftp.Server(campaign.archive)
    yield one
    one.close()


def use(campaign: Campaign, url: str, more: str = "", **words: float) -> None:
    """Settings with this archive, whose netrc is beside; a job copies its input."""
    campaign.settings(SIM, **words)
    path = campaign.directory / "production.toml"
    text = path.read_text(encoding="utf-8")
    table = f'archive = {{ url = "{url}", netrc = "netrc", stall = 5, first_byte = 10 {more} }}'
    path.write_text(text.replace('archive = "archive"', table), encoding="utf-8")
    campaign.script("sim.sh", 'cp "$1" "$2"')
    ftp.write_netrc(campaign.directory / "netrc")


def all_came(campaign: Campaign, runs: range, table: str = "sim_v1") -> None:
    """Every run is finished, and its output is its raw file to the byte."""
    for run in runs:
        raw = (campaign.archive / f"run{run:05d}.mid").read_bytes()
        assert (campaign.data / f"tree/v1/tree{run:05d}.dat").read_bytes() == raw
    assert campaign.letters(table) == "F" * len(runs)
    campaign.nothing_in_hands()


@pytest.mark.feature("AC-10", "AC-12", "AC-14")
def test_runs_come_by_ftp_and_the_password_is_nowhere(campaign: Campaign) -> None:
    raw = campaign.archive / "Läufe/raw data"
    raw.mkdir(parents=True)
    for run in range(1, 7):
        (raw / f"run{run:05d}.mid").write_bytes(os.urandom(100_000))
    server = ftp.Pyftpdlib(campaign.archive)
    use(campaign, f"ftp://127.0.0.1:{server.port}/L%C3%A4ufe/raw%20data")
    go = campaign.pipe("go")
    begun = campaign.pipe("begun")
    campaign.script("sim.sh", 'echo begun >@/begun; read go <@/go; cp "$1" "$2"')
    campaign.begin("1-6")
    manager = campaign.start("--production=sim", "--new=v5")
    begun.take(6)
    seen = [
        pathlib.Path(f"/proc/{pid}/{file}")
        for pid in [manager.pid, *campaign.jobs()]
        for file in ("cmdline", "environ")
    ]
    public = [path.read_bytes() for path in seen]
    go.give(6)
    result = manager.wait()
    server.close()
    assert result.code == 0, str(result)
    for run in range(1, 7):
        assert (campaign.data / f"tree/v1/tree{run:05d}.dat").read_bytes() == (raw / f"run{run:05d}.mid").read_bytes()
    public += [result.out.encode(), result.err.encode()]
    public += [path.read_bytes() for path in campaign.directory.rglob("*") if path.is_file() and path.name != "netrc"]
    assert not any(ftp.PASSWORD.encode() in text for text in public)


@pytest.mark.feature("AC-13", "AC-14")
def test_a_wrong_password_stops_it_cleanly(campaign: Campaign, server: hostile_ftp.Server) -> None:
    server.mood = hostile_ftp.Mood(login=lambda user, password: f"530 {user}, {password} is wrong")  # it blabs
    use(campaign, server.url(), ", tries = 2")
    campaign.raw(range(1, 4))
    campaign.begin("1-3")
    result = campaign.run("--production=sim", "--new=v5")
    assert (result.code, len(result.err.splitlines())) == (2, 1), str(result)
    assert re.search(r"530 .*\(once; look at the user and password in .*netrc\); no version was opened", result.err)
    assert server.count("PASS") == 1
    assert ftp.PASSWORD not in result.err
    assert "no productions yet" in campaign.ok("status").out
    campaign.ok("datasets", "add", "9", "--dataset=Other", "--quality=silver")
    server.mood = hostile_ftp.Mood()
    assert campaign.run("--production=sim", "--new=v5", "--dataset=Other").code == 0
    server.mood = hostile_ftp.Mood(login=lambda user, password: f"530 {user}, {password} is wrong")
    before = server.count("PASS")
    result = campaign.run("--production=sim")
    assert result.code == 1, str(result)
    assert server.count("PASS") == before + 2
    errors = [line for line in result.err.splitlines() if " ERROR " in line]
    assert len(errors) == 1
    refusal = rf"{re.escape(server.url().rstrip('/'))} refuses the login of {re.escape(ftp.USER)}: 530 [^;]*"
    assert re.search(rf"{refusal} \(2 times; look at the user and password in .*netrc\)", errors[0])
    told = [line for line in result.messages if "tries again" in line]
    assert len(told) == 1
    assert re.fullmatch(rf"{refusal}; tries again in 1 s \(1 of 2\)", told[0])
    assert "netrc" in errors[0]
    assert ftp.PASSWORD not in result.err
    assert campaign.letters("sim_v1") == "NNN"
    assert result.said("Stopped: claims given back; go on with: ")
    assert [message for message in result.messages if message.startswith("Released")] == ["Released 3 runs: 1, 2 and 3"]
    campaign.nothing_in_hands()


@pytest.mark.feature("AC-14")
@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda path: path.unlink(), "is missing: write `machine 127.0.0.1 login"),
        (lambda path: path.chmod(0o644), "may be read by others: chmod 600"),
        (lambda path: path.write_text("machine elsewhere login a password b\n"), "127.0.0.1"),
        (lambda path: path.write_text("machine 127.0.0.1 login\n"), "netrc"),
    ],
)
def test_a_netrc_that_will_not_do_is_one_line(
    campaign: Campaign, server: hostile_ftp.Server, spoil: object, said: str
) -> None:
    use(campaign, server.url())
    campaign.begin("1-3")
    assert callable(spoil)
    spoil(campaign.directory / "netrc")
    result = campaign.run("--production=sim", "--new=v5")
    assert result.code == 2
    assert len(result.err.splitlines()) == 1
    assert said in result.err
    assert "no productions yet" in campaign.ok("status").out
    assert not server.heard


def test_a_missing_file_is_held_with_the_servers_words(campaign: Campaign, server: hostile_ftp.Server) -> None:
    use(campaign, server.url())
    campaign.raw(range(1, 4))
    (campaign.archive / "run00002.mid").unlink()
    campaign.begin("1-3")
    result = campaign.run("--production=sim", "--new=v5")
    assert result.code == 3
    assert campaign.letters("sim_v1") == "FHF"
    assert "550" in str(campaign.one("SELECT message FROM attempt WHERE run = 2"))
    assert result.said("Held run: 2 (")


@pytest.mark.feature("AC-12")
@pytest.mark.parametrize("behind", ["ftp", "directory"])
def test_a_file_that_somebody_put_there_is_compared_with_the_archive(
    campaign: Campaign, server: hostile_ftp.Server, behind: str
) -> None:
    use(campaign, server.url())
    if behind == "directory":
        campaign.settings(SIM)
    campaign.raw(range(1, 5))
    raw = campaign.data / "raw"
    raw.mkdir(parents=True)
    (raw / "run00001.mid").write_bytes((campaign.archive / "run00001.mid").read_bytes())
    (raw / "run00002.mid").write_text("half of")
    (raw / "run00003.mid").write_text("of a run that the archive has lost")
    (campaign.archive / "run00003.mid").unlink()
    campaign.begin("1-4")
    result = campaign.run("--production=sim", "--new=v5")
    assert campaign.letters("sim_v1") == "FHFF", str(result)
    told = [line for line in result.messages if line.startswith(("Held run", "Input of run"))]
    assert sorted(told) == [
        f"Held run: 2 ({raw}/run00002.mid was there already and has 7 bytes, the archive's has 18; remove it or move it away)",
        f"Input of run 3 was there and is used as it is, 34 bytes: {raw}/run00003.mid (the archive has no such file)",
    ]
    assert sorted(path.name for path in raw.iterdir()) == ["run00001.mid", "run00002.mid", "run00003.mid"]  # not ours
    campaign.nothing_in_hands()


def test_a_server_that_is_away_is_waited_for_and_told_once(campaign: Campaign, server: hostile_ftp.Server) -> None:
    use(campaign, server.url())
    campaign.raw(range(1, 7))
    campaign.begin("1-6")
    server.mood = hostile_ftp.Mood(greeting="421 come back later")
    manager = campaign.start("--production=sim", "--new=v5")
    manager.wait_for("is away: 421 come back later; waiting")
    server.mood = hostile_ftp.Mood()
    result = manager.wait()
    assert result.code == 0, str(result)
    assert sum("is away" in line for line in result.messages) == 1
    assert result.said("The archive answers again")
    assert campaign.one("SELECT max(attempt) FROM production_run") == 1  # nobody's fault
    all_came(campaign, range(1, 7))


@pytest.mark.feature("AC-10")
def test_the_next_files_are_recalled_before_the_first_has_come(campaign: Campaign, server: hostile_ftp.Server) -> None:
    use(campaign, server.url(), ", recall = 8, transfers = 1", nproc=1, nprep=1)
    for run in range(1, 11):
        (campaign.archive / f"run{run:05d}.mid").write_bytes(os.urandom(300_000))
    campaign.begin("1-10")
    staged = threading.Semaphore(0)

    def stage() -> str:
        staged.release()
        return "200 staged"

    server.mood = hostile_ftp.Mood(stall=100_000, stage=stage)
    manager = campaign.start("--production=sim", "--new=v5")
    for _ in range(8):
        assert staged.acquire(timeout=30)
    assert server.count("RETR") <= 1  # it stalls in the first, if it has begun
    server.mood.over.set()
    server.mood = hostile_ftp.Mood(stage=stage)
    assert manager.wait().code == 0
    all_came(campaign, range(1, 11))
    recalled = [line for line in server.heard if line.startswith("STAGE")]
    assert len(recalled) == len(set(recalled)) == 10
    assert "run00001.mid" in recalled[0]


def test_a_server_without_tape_is_asked_once(campaign: Campaign, server: hostile_ftp.Server) -> None:
    server.mood = hostile_ftp.Mood(answers={"STAGE": "500 what?"})
    use(campaign, server.url())
    campaign.raw(range(1, 31))
    campaign.begin("1-30")
    assert campaign.run("--production=sim", "--new=v5").code == 0
    assert server.count("STAGE") <= 4  # as many as are asked at a time
    all_came(campaign, range(1, 31))


@pytest.mark.feature("AC-12")
def test_what_a_killed_manager_left_half_is_removed_by_the_next_and_by_none_beside_it(
    campaign: Campaign, server: hostile_ftp.Server
) -> None:
    server.mood = hostile_ftp.Mood(cut=1 << 20, how="426")
    use(campaign, server.url())
    path = campaign.directory / "production.toml"
    path.write_text(path.read_text().replace("pause = 0.2,", "pause = 300,"))
    raw = campaign.archive / "run00001.mid"
    raw.write_bytes(bytes(3 << 20))
    os.utime(raw, (1e9, 1e9))
    campaign.begin("1")
    first = campaign.start("--production=sim", "--new=v5")
    first.wait_for("Failed attempt of run: 1 (staging")
    part = campaign.data / "raw/run00001.mid.part"
    assert part.stat().st_size >= 1 << 20
    assert campaign.rows("SELECT * FROM transfer") == [], "it goes on with it when the run is tried again"
    beside = campaign.start("--production=sim")
    beside.wait_for(": 1 new")
    assert beside.stop().code == 130
    assert part.exists()
    (part.parent / "mine.mid.part").touch()
    first.kill()
    second = campaign.start("--production=sim")
    second.wait_for(f"Removed {part}, left half by a manager that is gone")
    assert second.stop().code == 130
    assert [path.name for path in part.parent.iterdir()] == ["mine.mid.part"]


@pytest.mark.feature("AC-12")
def test_a_production_comes_through_whatever_a_server_does(campaign: Campaign, server: hostile_ftp.Server) -> None:
    use(campaign, server.url(), pause=0.2, consecutive=1000)
    chance = random.Random(2091)
    for run in range(1, 41):
        (campaign.archive / f"run{run:05d}.mid").write_bytes(
            chance.randbytes(chance.choice([0, 1, 5000, 200_000, 3 << 20]))
        )
    moods = [
        *(
            hostile_ftp.Mood(cut=cut, how=how)
            for cut in (0, 1, 100_000, 2 << 20)
            for how in ("426", "226", "reset", "close")
        ),
        *(hostile_ftp.Mood(hang_up_at=command) for command in ("SIZE", "RETR", "PASV", "USER", "MDTM", "REST")),
        *(hostile_ftp.Mood(answers={"RETR": answer}) for answer in ("425 no", "450 busy", "451 error", "421 bye")),
        hostile_ftp.Mood(size=77),
        hostile_ftp.Mood(no_rest=True),
        hostile_ftp.Mood(answers={"REST": "502 no"}),
        hostile_ftp.Mood(greeting="421 full"),
    ]
    campaign.begin("1-40")
    done = threading.Event()

    def torment() -> None:
        while not done.wait(chance.uniform(0.02, 0.2)):
            server.mood = chance.choice([*moods, *[hostile_ftp.Mood()] * 10])
            if chance.random() < 0.1:
                server.hang_up()

    thread = threading.Thread(target=torment)
    thread.start()
    try:
        result = campaign.start("--production=sim", "--new=v5").wait(120)
    finally:
        done.set()
        thread.join()
    assert result.code == 0, str(result)
    all_came(campaign, range(1, 41))


# --- by hand ----------------------------------------------------------------------------------------------------------


def test_the_archive_can_be_tried_by_hand(campaign: Campaign, server: hostile_ftp.Server) -> None:
    use(campaign, server.url())
    campaign.raw(range(1, 4))
    checked = campaign.ok("archive", "check").out
    assert re.fullmatch(r"ftp://127\.0\.0\.1:\d+/: it is there and lets us in; 3 files, 0 directories\n", checked)
    listed = campaign.ok("archive", "list").out.splitlines()
    assert [line.split() for line in listed] == [["18", f"run0000{run}.mid"] for run in (1, 2, 3)]
    got = campaign.product("archive", "get", "2", "--production=sim", "--to=here.mid")
    assert got.code == 0, str(got)
    assert (campaign.directory / "here.mid").read_text() == "raw data of run 2\n"
    again = campaign.product("archive", "get", "2", "--production=sim", "--to=here.mid")
    assert (again.code, again.err) == (
        2,
        f"production: {campaign.directory}/here.mid is there already; nothing was changed\n",
    )


def test_what_was_there_stays(campaign: Campaign, server: hostile_ftp.Server) -> None:
    use(campaign, server.url())
    campaign.raw(range(1, 3))
    (campaign.directory / "run00001.mid.part").write_text("mine")
    got = campaign.product("archive", "get", "1", "--production=sim")
    assert (got.code, got.err) == (
        2,
        f"production: {campaign.directory}/run00001.mid.part is there already; nothing was changed\n",
    )
    assert not server.heard
    assert (campaign.directory / "run00001.mid.part").read_text() == "mine"
    server.mood = hostile_ftp.Mood(stall=10)
    getting = campaign.begun([campaign.python, "-m", "production", "archive", "get", "2", "--production=sim"])
    until(lambda: bool(server.count("RETR")), "the bytes to come")
    (campaign.directory / "run00002.mid").write_text("mine")
    server.mood.over.set()
    got = getting.wait()
    assert got.code == 1
    assert "run00002.mid: File exists (it is there already" in got.err
    assert (campaign.directory / "run00002.mid").read_text() == "mine"
    assert not (campaign.directory / "run00002.mid.part").exists()


def test_a_refused_login_is_said_at_once(campaign: Campaign, server: hostile_ftp.Server) -> None:
    use(campaign, server.url())
    server.mood = hostile_ftp.Mood(login=lambda _user, _password: "530 Login incorrect.")
    result = campaign.product("archive", "check")
    assert result.code == 1
    refusal = f"production: {server.url().rstrip('/')} refuses the login of {ftp.USER}: 530 Login incorrect."
    assert result.err.splitlines() == [
        f"{refusal}; tries again in 1 s (1 of 3)",
        f"{refusal}; tries again in 2 s (2 of 3)",
        f"{refusal} (3 times; look at the user and password in {campaign.directory}/netrc)",
    ]


@pytest.mark.parametrize("command", [["check"], ["list"], ["get", "1", "--production=sim"]])
def test_what_is_wrong_with_it_is_one_line(campaign: Campaign, server: hostile_ftp.Server, command: list[str]) -> None:
    use(campaign, server.url(), ", tries = 1")
    server.mood = hostile_ftp.Mood(login=lambda _user, _password: "530 no")
    result = campaign.product("archive", *command)
    assert (result.code, result.out) == (1, "")
    assert len(result.err.splitlines()) == 1
    assert "netrc" in result.err
    server.close()
    result = campaign.product("archive", *command)
    assert result.code == 1
    assert "is away: Connection refused" in result.err
