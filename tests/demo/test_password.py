"""The password of the demo's archive: chosen once, and anew where the file can't be read."""

from __future__ import annotations

import netrc
import pathlib
import stat

import pytest

from demo import password


def chosen(path: pathlib.Path) -> str:
    password.choose(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    found = netrc.netrc(path).authenticators(password.HOST)
    assert found
    return found[2]


def test_it_is_chosen_once(tmp_path: pathlib.Path) -> None:
    first = chosen(tmp_path / "netrc")
    assert len(first) > 20
    assert chosen(tmp_path / "netrc") == first


@pytest.mark.parametrize("content", [b"", b"\xce\x00\xff\n", b"machine", b"no netrc at all"])
def test_what_is_no_netrc_is_replaced(tmp_path: pathlib.Path, content: bytes) -> None:
    path = tmp_path / "netrc"
    path.write_bytes(content)
    path.chmod(0o644)
    assert len(chosen(path)) > 20


def test_other_passwords_are_not_removed(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "netrc"
    path.write_text("machine archive.example.org login me password secret\n")
    with pytest.raises(FileExistsError):
        password.choose(path)
    assert "secret" in path.read_text()
