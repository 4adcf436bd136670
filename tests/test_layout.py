"""Names on disk: no two attempts share one, and a person finds what they look for."""

from __future__ import annotations

import os

import hypothesis
import pytest
from hypothesis import strategies as st

from production import layout, settings
from production import run as runs

TREE = settings.OutputSettings("tree", "tree/v{version}/tree{run:05d}.root", "data/tree/tree{run:05d}.root")
OUT = settings.OutputSettings("out", "out/v{version}/out{run:05d}.root")
START = "2026-11-20T21:00:00.000000Z"


def production(version: int = 4, program: str = "alcapana") -> runs.Production:
    return runs.Production(3, program, version, "v5", None, None, START, None, "gold", "/data", "c0ffee00")


def run(number: int = 2091, attempt: int = 1, input: str | None = None) -> runs.Run:
    state = runs.State.STAGED
    return runs.Run(3, number, None, state, 7, attempt, 0, START, "", None, None, input, "alice", None)


def plan(program: settings.Program | None = None, version: int = 4, modules: str = "", **more: object) -> layout.Layout:
    program = program or settings.Program(
        "alcapana",
        "/sw/alcapana.sge",
        input="run{run:05d}.mid",
        staged="raw/run{run:05d}.mid",
        home="private",
        outputs=(TREE, OUT),
        scratch=("tmp/{run}",),
    )
    chosen = settings.Settings("/db/production.db", "/data", **more)  # type: ignore[arg-type]
    return layout.Layout(chosen, program, production(version, program.name), modules)


def test_where_everything_lies() -> None:
    here = plan(modules="abc123")
    assert here.jobs() == "/data/jobs/alcapana_v4-c0ffee00"
    assert here.ticket(run()) == "/data/jobs/alcapana_v4-c0ffee00/02091.1.ticket"
    assert here.witness(run()) == "/data/jobs/alcapana_v4-c0ffee00/02091.1.witness"
    assert here.mark(run()) == "alcapana_v4-c0ffee00.0-2091-1"
    assert here.work(run()) == "/data/work/alcapana_v4-c0ffee00/02091.1"
    assert here.home(run()) == "/data/work/alcapana_v4-c0ffee00/02091.1/home"
    assert here.log(run(), "out") == "/data/log/v4/alcapana.run02091.out"
    assert here.log(run(), "err") == "/data/log/v4/alcapana.run02091.err"
    assert here.earlier_log(run(attempt=2), "out", 1) == "/data/log/v4/alcapana.run02091.attempt1.out"
    assert here.earlier_log(run(attempt=3), "err", 2) == "/data/log/v4/alcapana.run02091.attempt2.err"
    assert here.staged(run()) == "/data/raw/run02091.mid"
    assert here.remote(run()) == "run02091.mid"
    assert here.modules_file() == "/data/modules/abc123"
    assert plan().modules_file() == ""
    assert here.scratch(run()) == ("/data/work/alcapana_v4-c0ffee00/02091.1/home/tmp/2091",)


@pytest.mark.feature("AC-24")
def test_outputs_are_told_or_found_in_the_private_home() -> None:
    work = "/data/work/alcapana_v4-c0ffee00/02091.1"
    assert plan().outputs(run()) == [
        runs.Output("tree", f"{work}/home/data/tree/tree02091.root", "/data/tree/v4/tree02091.root"),
        runs.Output("out", f"{work}/out/out/out02091.root", "/data/out/v4/out02091.root"),
    ]


def test_two_outputs_of_one_name_do_not_meet_in_the_work_directory() -> None:
    same = [settings.OutputSettings(name, f"{name}/{{run}}/result.root") for name in ("one", "two")]
    one, two = plan(settings.Program("x", "/x", outputs=tuple(same))).outputs(run())
    assert one.temporary != two.temporary


@pytest.mark.parametrize(
    ("home", "outputs", "directory"),
    [
        ("private", (TREE,), "/data/work/alcapana_v4-c0ffee00/02091.1/home"),
        ("private", (), "/data/work/alcapana_v4-c0ffee00/02091.1/home"),
        ("shared", (OUT,), "/data/work/alcapana_v4-c0ffee00/02091.1"),
        ("shared", (TREE,), "~"),
        ("shared", (), "~"),
    ],
)
def test_where_a_job_starts(home: str, outputs: tuple[settings.OutputSettings, ...], directory: str) -> None:
    here = plan(settings.Program("alcapana", "/x", home=home, outputs=outputs))
    assert here.directory(run()) == os.path.expanduser(directory)
    assert here.has_work == (directory != "~")


def test_a_private_home_leaves_no_path_to_share() -> None:
    assert plan().fixed(run()) == []


def test_a_shared_home_is_the_users_own() -> None:
    home = os.path.expanduser("~")
    here = plan(settings.Program("old", "/sw/old.sge", outputs=(TREE, OUT), home="shared", scratch=("tmp/{run}",)))
    assert here.home(run()) == home
    assert here.fixed(run()) == [f"{home}/data/tree/tree02091.root"]
    assert here.outputs(run())[0].temporary == f"{home}/data/tree/tree02091.root"
    assert here.scratch(run()) == (f"{home}/tmp/2091",)


@pytest.mark.feature("AC-33")
def test_the_command_has_the_arguments_of_the_flags_that_were_given() -> None:
    program = settings.Program(
        "rootana",
        "/sw/rootana.sge",
        arguments=("{input}", "{out}", "{modules}", "{{run}}", "{run:06d}", "v{version}.{attempt}"),
        options={"calib": ("-c",), "calibdatabase": ("-d", "{calibdatabase}")},
        base="alcapana.tree",
        outputs=(OUT,),
    )
    one = run(attempt=2, input="/a tree.root")
    out = "/data/work/rootana_v4-c0ffee00/02091.2/out/out/out02091.root"
    plain = ("/sw/rootana.sge", "/a tree.root", out, "/data/modules/abc", "{run}", "002091", "v4.2")
    assert plan(program, modules="abc").command(one) == plain
    assert plan(program, modules="abc", calib=True).command(one) == (*plain, "-c")
    both = plan(program, modules="abc", calib=True, calibdatabase="/my calib.db")
    assert both.command(one) == (*plain, "-c", "-d", "/my calib.db")
    assert plan(program).command(run()) == (
        "/sw/rootana.sge",
        "",
        out.replace(".2/", ".1/"),
        "",
        "{run}",
        "002091",
        "v4.1",
    )


def test_flags_that_a_program_does_not_know_add_nothing() -> None:
    assert plan(calib=True, calibdatabase="/x.db").command(run()) == ("/sw/alcapana.sge", "2091")


ATTEMPTS = st.tuples(st.integers(0, 999_999_999), st.integers(1, 1000), st.integers(1, 99))


@pytest.mark.feature("AC-26")
@hypothesis.given(ATTEMPTS, ATTEMPTS)
def test_no_two_attempts_share_a_name(one: tuple[int, int, int], other: tuple[int, int, int]) -> None:
    hypothesis.assume(one != other)

    def names(attempt: tuple[int, int, int]) -> set[str]:
        here, this = plan(version=attempt[2]), run(attempt[0], attempt[1])
        own = {here.ticket(this), here.witness(this), here.mark(this), here.work(this), here.home(this)}
        return own | {output.temporary for output in here.outputs(this)}

    assert not names(one) & names(other)


@pytest.mark.feature("AC-26")
@hypothesis.given(ATTEMPTS, ATTEMPTS)
def test_no_two_runs_or_versions_share_a_place_for_good(one: tuple[int, int, int], other: tuple[int, int, int]) -> None:
    hypothesis.assume((one[0], one[2]) != (other[0], other[2]))

    def names(attempt: tuple[int, int, int]) -> set[str]:
        here, this = plan(version=attempt[2]), run(attempt[0], attempt[1])
        logs = {here.log(this, stream) for stream in ("out", "err")}
        kept = {here.earlier_log(this, stream, attempt[1]) for stream in ("out", "err")}
        return logs | kept | {output.final for output in here.outputs(this)}

    assert len(names(one)) == 6
    assert not names(one) & names(other)
