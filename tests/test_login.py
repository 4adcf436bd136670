"""Who we are at the archive: what a netrc may be, and the mend for what it may not."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable

import hypothesis
import hypothesis.strategies as st
import pytest

from production import errors
from production.transfer import login
from tests.services.ftp import write_netrc

SECRET = "s3cret-μ"


def write(path: pathlib.Path, text: str, mode: int = 0o600) -> str:
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return str(path)


@pytest.mark.feature("AC-14")
@pytest.mark.parametrize(
    ("text", "user", "found"),
    [
        ("machine archive login tom password pw", "", ("tom", "pw")),
        ("machine ARCHIVE login tom password pw", "", ("tom", "pw")),
        ("machine other login x password y\nmachine archive\n login tom\n password pw\n", "tom", ("tom", "pw")),
        ("default login tom password pw", "", ("tom", "pw")),
        ("machine archive password pw", "tom", ("tom", "pw")),
        ("machine archive login tom account acct password pw", "", ("tom", "pw")),
        ("# mine\nmachine archive login 'tom' password #pw#\nmacdef init\ncd /\n\n", "", ("'tom'", "#pw#")),
    ],
)
def test_a_login_is_found(tmp_path: pathlib.Path, text: str, user: str, found: tuple[str, str]) -> None:
    got = login.find(write(tmp_path / "netrc", text), "archive", user)
    assert (got.user, got.password) == found


@pytest.mark.feature("AC-14")
@hypothesis.given(*[st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1)] * 2)
def test_names_and_passwords_may_be_any(tmp_path_factory: pytest.TempPathFactory, user: str, password: str) -> None:
    got = login.find(write_netrc(tmp_path_factory.mktemp("home") / "netrc", user, password), "127.0.0.1")
    assert (got.user, got.password) == (user, password)
    assert len(password) < 4 or password not in repr(got).replace(user, "")


def refused(file: str, user: str = "") -> str:
    with pytest.raises(errors.UsageError) as caught:
        login.find(file, "archive", user)
    chain: list[BaseException] = []
    last: BaseException | None = caught.value
    while last is not None:
        chain.append(last)
        last = last.__cause__ or last.__context__
    assert not [each for each in chain if SECRET in str(each)]
    assert str(caught.value).isprintable()
    return str(caught.value)


@pytest.mark.feature("AC-14")
@pytest.mark.parametrize(
    ("text", "user", "words"),
    [
        ("machine other login tom password " + SECRET, "", "has no entry for archive: add `machine archive login"),
        ("", "", "has no entry for archive"),
        ("machine archive login tom", "", "has no password for archive"),
        (f"machine archive password {SECRET}", "", "has no login for archive"),
        (f"machine archive login tom password two {SECRET}", "", "line 1 can't be understood"),
        (f"machine archive login tom\n{SECRET}", "", "line 2 can't be understood"),
        (f"machine archive login tom password {SECRET}", "tim", "another user for archive than the archive's URL"),
        (f'machine archive login tom password "{SECRET}\r\nDELE x"', "", "holds a line end"),
    ],
)
def test_a_netrc_that_will_not_do(tmp_path: pathlib.Path, text: str, user: str, words: str) -> None:
    assert words in refused(write(tmp_path / "netrc", text), user)


@pytest.mark.feature("AC-14")
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o620, 0o601])
def test_nobody_else_may_read_it(tmp_path: pathlib.Path, mode: int) -> None:
    path = write(tmp_path / "my netrc", f"machine archive login tom password {SECRET}", mode)
    assert refused(path) == f"{path} may be read by others: chmod 600 {path}"


@pytest.mark.feature("AC-14")
def test_it_is_there_and_ours(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, need: Callable[[str, object], object]
) -> None:
    path = tmp_path / ".netrc"
    assert "is missing: write `machine archive login … password …` into it, then chmod 600" in refused(str(path))
    assert "is not a file" in refused(str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    write(path, "machine archive login tom password pw")
    assert login.find("~/.netrc", "archive").user == "tom"
    need("root, to give a file away", os.geteuid() == 0)
    os.chown(path, 12345, -1)
    assert "belongs to somebody else (uid 12345)" in refused(str(path))


def test_anonymous_needs_none(tmp_path: pathlib.Path) -> None:
    assert login.find(str(tmp_path / "none"), "archive", "anonymous").password == "anonymous@"
