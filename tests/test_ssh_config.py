"""What ~/.ssh/config and known_hosts say: the files that people have, as OpenSSH writes them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import pathlib
import shutil
import subprocess
from collections.abc import Callable

import pytest

from production import errors
from production.ssh import config, known

KEY, OTHER = (hashlib.sha512(word).digest() for word in (b"one", b"two"))
KIND = "ssh-ed25519"


@pytest.fixture
def user(tmp_path: pathlib.Path) -> pathlib.Path:
    """A HOME."""
    (tmp_path / ".ssh").mkdir(mode=0o700)
    (tmp_path / "etc").mkdir()
    return tmp_path


def write(user: pathlib.Path, text: str, name: str = ".ssh/config", mode: int = 0o600) -> None:
    path = user / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def find(user: pathlib.Path, host: str) -> config.Host:
    return config.find(host, str(user), str(user / "etc"))


# --- config -----------------------------------------------------------------------------------------------------------


def test_without_any_file(user: pathlib.Path) -> None:
    found = find(user, "login.cluster")
    assert (found.address, found.port, found.label) == ("login.cluster", 22, "login.cluster")
    assert found.defaults[0] == str(user / ".ssh/id_ed25519")
    assert found.known[0] == str(user / ".ssh/known_hosts")
    assert str(user / "etc/ssh_known_hosts") in found.known


def test_what_a_host_block_says(user: pathlib.Path) -> None:
    write(
        user,
        "Host lo*\n  HostName login.cluster.example\n  User alice\n  Port=2222\n  IdentityFile ~/.ssh/id_cluster\n"
        "  IdentitiesOnly yes\n  UserKnownHostsFile ~/.ssh/known_%n\nHost *\n  User nobody\n",
    )
    found = find(user, "login")
    assert (found.address, found.port, found.user) == ("login.cluster.example", 2222, "alice")
    assert (found.label, found.only, found.defaults) == ("[login.cluster.example]:2222", True, ())
    assert os.path.basename(found.identities[0]) == "id_cluster"
    assert found.known[0] == str(user / ".ssh/known_login")
    assert find(user, "other").user == "nobody"


def test_what_was_written_behind_the_host_counts_first(user: pathlib.Path) -> None:
    write(user, "Host login\n  User alice\n  Port 2222\n")
    found = find(user, "bob@login:2200")
    assert (found.user, found.port, found.address) == ("bob", 2200, "login")


def test_the_user_s_file_counts_before_the_machine_s(user: pathlib.Path) -> None:
    write(user, "Host login\n  User alice\n")
    write(user, "Host *\n  User everybody\n  Port 2022\n", "etc/ssh_config", 0o644)
    found = find(user, "login")
    assert (found.user, found.port) == ("alice", 2022)


def test_files_that_are_included(user: pathlib.Path) -> None:
    """In a block, too; and what comes after them belongs to the block again."""
    write(user, "Include config.d/*\nHost login\n  Include more\n  Port 2222\n")
    write(user, "Host login\n  User alice\n", ".ssh/config.d/cluster")
    write(user, "HostName login.cluster\n", ".ssh/more")
    found = find(user, "login")
    assert (found.user, found.address, found.port) == ("alice", "login.cluster", 2222)
    assert find(user, "other").port == 22


def test_files_that_include_each_other(user: pathlib.Path) -> None:
    write(user, "Include config\n")
    with pytest.raises(errors.UsageError, match="include each other"):
        find(user, "login")


def test_hosts_behind_hosts(user: pathlib.Path) -> None:
    write(
        user,
        "Host inner\n  ProxyJump alice@gate:2200,login\nHost gate\n  HostName gate.example\n  ProxyJump door\n"
        "Host login\n  ProxyJump never\n  User bob\n",
    )
    way = [(one.address, one.port, one.user) for one in find(user, "inner").through]
    assert [one[:2] for one in way] == [("door", 22), ("gate.example", 2200), ("login", 22)]
    assert [one[2] for one in way][1:] == ["alice", "bob"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Host login\n  ProxyCommand nc %h %p\n", "ProxyCommand .* write ProxyJump"),
        ("Host login\n  ProxyJump login\n", "through itself"),
        ("Host login\n  Port many\n", "Port of login: a whole number"),
        ("Host login\n  Port 0\n", "Port of login: a whole number"),
        ("Host login\n  Match nonsense\n", "can't be understood"),
        ("nonsense\n", "can't be understood"),
    ],
)
def test_what_cannot_be_heeded_is_refused(user: pathlib.Path, text: str, said: str) -> None:
    write(user, text)
    with pytest.raises(errors.UsageError, match=said) as told:
        find(user, "login")
    assert "\n" not in str(told.value)


def test_a_file_that_others_may_change(user: pathlib.Path) -> None:
    write(user, "Host login\n", mode=0o666)
    with pytest.raises(errors.UsageError, match=r"may be changed by others: chmod go-w"):
        find(user, "login")


@pytest.mark.parametrize("host", ["", "a b", "user@", "host:port", "host:"])
def test_no_hosts(user: pathlib.Path, host: str) -> None:
    with pytest.raises(errors.UsageError, match="is no host"):
        find(user, host)


# --- known_hosts ------------------------------------------------------------------------------------------------------


def line(names: str, key: bytes = KEY, kind: str = KIND, marker: str = "") -> str:
    return f"{marker} {names} {kind} {base64.b64encode(key).decode()} comment\n".lstrip()


def check(user: pathlib.Path, text: str, host: str = "login.cluster", key: bytes = KEY, kind: str = KIND) -> None:
    write(user, text, ".ssh/known_hosts")
    found = find(user, host)
    known.check(found, known.entries(found), kind, key)


def hashed(name: str) -> str:
    salt = b"0123456789abcdefghij"
    digest = hmac.new(salt, name.encode(), "sha1").digest()
    return f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"


@pytest.mark.parametrize(
    ("names", "host"),
    [
        ("login.cluster", "login.cluster"),
        ("login.cluster", "LOGIN.cluster"),
        ("other,login.cluster,10.0.0.1", "login.cluster"),
        ("*.cluster", "login.cluster"),
        ("log?n.cluster", "login.cluster"),
        ("[login.cluster]:2222", "login.cluster:2222"),
        ("[*.cluster]:2222", "login.cluster:2222"),
        ("login.cluster", "login.cluster:2222"),  # as ssh has it: a key without a port is the machine's
        (hashed("login.cluster"), "login.cluster"),
        (hashed("[login.cluster]:2222"), "login.cluster:2222"),
    ],
)
def test_who_is_known(user: pathlib.Path, names: str, host: str) -> None:
    check(user, "# a comment\n\nnonsense\n" + line("else", OTHER) + line(names), host)


@pytest.mark.parametrize(
    "text",
    [
        "",
        line("login"),
        line("*.cluster,!login.cluster"),
        line("[login.cluster]:2222"),
        line(hashed("login")),
        line("|1|not base 64"),
        line("login.cluster", marker="@unheard-of"),
        "login.cluster ssh-ed25519 !!!\n",
    ],
)
def test_who_is_unknown(user: pathlib.Path, text: str) -> None:
    with pytest.raises(errors.RemoteRefused) as told:
        check(user, text)
    fingerprint = base64.b64encode(hashlib.sha256(KEY).digest()).decode().rstrip("=")
    assert str(told.value) == (
        f"login.cluster: its host key is not known: ssh-ed25519 SHA256:{fingerprint}; compare the fingerprint with the"
        f" site's, then run: ssh-keyscan -t ed25519 login.cluster >>{user}/.ssh/known_hosts"
    )


def test_who_has_changed(user: pathlib.Path) -> None:
    with pytest.raises(errors.RemoteRefused, match="CHANGED") as told:
        check(user, line("x") + line("[login.cluster]:2222", OTHER), "login.cluster:2222")
    assert f"{user}/.ssh/known_hosts:2 has SHA256:" in str(told.value)
    assert f"ssh-keygen -R '[login.cluster]:2222' -f {user}/.ssh/known_hosts, then ssh-keyscan -p 2222" in str(
        told.value
    )


def test_a_second_key_of_the_same_host_is_no_change(user: pathlib.Path) -> None:
    check(user, line("login.cluster", OTHER) + line("login.cluster"))


def test_a_key_of_another_kind(user: pathlib.Path) -> None:
    with pytest.raises(errors.RemoteRefused, match="host key of this kind is not known"):
        check(user, line("login.cluster", OTHER, "ssh-rsa"))


def test_a_key_that_was_revoked(user: pathlib.Path) -> None:
    with pytest.raises(errors.RemoteRefused, match="revoked"):
        check(user, line("login.cluster") + line("*", marker="@revoked"))
    check(user, line("login.cluster") + line("*", OTHER, marker="@revoked"))


def test_an_authority_is_told_to_be_of_no_use(user: pathlib.Path) -> None:
    with pytest.raises(errors.RemoteRefused, match="@cert-authority line is of no use here: add the key itself"):
        check(user, line("*.cluster", OTHER, marker="@cert-authority"))


def test_behind_another_host_the_line_itself_is_shown(user: pathlib.Path) -> None:
    write(user, "Host login.cluster\n  ProxyJump gate\n")
    with pytest.raises(errors.RemoteRefused) as told:
        check(user, "")
    [shown] = [part for part in str(told.value).split("'") if part.startswith("login.cluster ssh-ed25519")]
    check(user, shown + "\n")


def test_an_alias_is_what_it_is_known_by(user: pathlib.Path) -> None:
    write(user, "Host login.cluster\n  HostKeyAlias cluster\n  Port 2222\n")
    check(user, line("cluster"))
    with pytest.raises(errors.RemoteRefused):
        check(user, line("login.cluster"))


def test_kinds_that_are_known_are_asked_for_first(user: pathlib.Path) -> None:
    write(
        user, line("login.cluster", kind="ssh-rsa") + line("login.cluster", OTHER, "x", "@revoked"), ".ssh/known_hosts"
    )
    offered = ["ssh-ed25519", "rsa-sha2-512", "rsa-sha2-256"]
    there = known.entries(find(user, "login.cluster"))
    assert known.algorithms(there, offered) == ["rsa-sha2-512", "rsa-sha2-256", "ssh-ed25519"]
    assert known.algorithms([], offered) == offered


def test_what_ssh_keygen_hashes_is_read(user: pathlib.Path, need: Callable[[str, object], object]) -> None:
    program = str(need("ssh-keygen", shutil.which("ssh-keygen")))
    key = user / "key"
    subprocess.run([program, "-q", "-t", "ed25519", "-N", "", "-f", key], check=True, stdin=subprocess.DEVNULL)
    kind, text, *_ = key.with_suffix(".pub").read_text().split()
    write(user, f"[login.cluster]:2222 {kind} {text}\n", ".ssh/known_hosts")
    subprocess.run([program, "-q", "-H", "-f", user / ".ssh/known_hosts"], check=True, capture_output=True)
    hidden = (user / ".ssh/known_hosts").read_text()
    assert "login" not in hidden
    check(user, hidden, "login.cluster:2222", base64.b64decode(text))
    told = subprocess.run(
        [program, "-l", "-f", user / "key.pub"], check=True, capture_output=True, text=True
    ).stdout.split()[1]
    assert known.fingerprint(base64.b64decode(text)) == told
