"""FTP servers that others wrote: pyftpdlib in a thread of ours, vsftpd as the system has it."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import os
import pathlib
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from OpenSSL import SSL
from pyftpdlib import authorizers, servers
from pyftpdlib import handlers as ftpd

USER = "data taker µ⁺"
PASSWORD = 'pass "wörd" #1 $HOME %s'
PLAIN_USER = "datataker"
"""For vsftpd, which knows nobody with a space in the name."""
LONG = 30.0
"""Seconds after which a test has failed."""


def write_netrc(path: pathlib.Path, user: str = USER, password: str = PASSWORD, host: str = "127.0.0.1") -> str:
    """A netrc with one entry, mode 600; returns its path."""

    def quoted(value: str) -> str:
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'

    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(f"machine {host}\n  login {quoted(user)}\n  password {quoted(password)}\n", encoding="utf-8")
    return str(path)


def certificate(directory: pathlib.Path) -> pathlib.Path:
    """A new self-signed certificate for 127.0.0.1, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = directory / "certificate.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + signed.public_bytes(serialization.Encoding.PEM)
    )
    return path


class Pyftpdlib:
    """A server in a thread."""

    def __init__(
        self,
        files: pathlib.Path,
        pem: pathlib.Path | None = None,
        host: str = "127.0.0.1",
        data_pem: pathlib.Path | None = None,
    ) -> None:
        """``data_pem``: another certificate for the connections that bring the bytes."""
        allowed = authorizers.DummyAuthorizer()
        allowed.add_user(USER, PASSWORD, str(files), perm="elr")
        kind = ftpd.FTPHandler if pem is None else ftpd.TLS_FTPHandler
        members: dict[str, object] = {"authorizer": allowed, "auth_failed_timeout": 0, "use_sendfile": False}
        if pem is not None:
            members |= {"certfile": str(pem), "tls_control_required": True, "tls_data_required": True}
        if data_pem is not None:
            members["dtp_handler"] = _with_certificate(data_pem)
        self.handler = type("Handler", (kind,), members)
        self._server = servers.FTPServer((host, 0), self.handler)
        self.host, self.port = self._server.address[:2]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._over = threading.Event()
        self._thread.start()

    def _serve(self) -> None:
        while not self._over.is_set():
            self._server.ioloop.loop(timeout=0.02, blocking=False)

    def close(self) -> None:
        self._over.set()
        self._thread.join(LONG)
        self._server.close_all()


def _with_certificate(pem: pathlib.Path) -> type[ftpd.TLS_DTPHandler]:
    context = SSL.Context(SSL.SSLv23_METHOD)
    context.use_certificate_chain_file(str(pem))
    context.use_privatekey_file(str(pem))

    class Other(ftpd.TLS_DTPHandler):  # type: ignore[misc]
        def secure_connection(self, _context: SSL.Context) -> None:
            super().secure_connection(context)

    return Other


def unable() -> str:
    """Why vsftpd can't run here; empty if it can."""
    if not shutil.which("vsftpd", path=f"{os.environ.get('PATH', '')}:/usr/sbin"):
        return "vsftpd"
    if not any(pathlib.Path("/").glob("lib/*/security/pam_pwdfile.so")):
        return "libpam-pwdfile"
    if not shutil.which("openssl"):
        return "openssl"
    return "" if os.geteuid() == 0 else "the right to start vsftpd (root)"


def _hash(password: str) -> str:
    argv = ["openssl", "passwd", "-6", "-stdin"]
    done = subprocess.run(argv, input=password, capture_output=True, text=True, check=True, encoding="utf-8")
    return done.stdout.strip()


PAM = """
auth required pam_pwdfile.so pwdfile={passwords}
account required pam_permit.so
session required pam_permit.so
"""

CONFIGURATION = """
listen=YES
listen_address=127.0.0.1
listen_port={port}
background=NO
anonymous_enable=NO
local_enable=YES
guest_enable=YES
guest_username=daemon
virtual_use_local_privs=YES
local_root={files}
chroot_local_user=NO
pam_service_name={service}
secure_chroot_dir={empty}
seccomp_sandbox=NO
isolate_network=NO
use_localtime=NO
max_login_fails=1
delay_failed_login=0
connect_from_port_20=YES
pasv_address=127.0.0.1
xferlog_enable=NO
"""


@contextlib.contextmanager
def vsftpd(directory: pathlib.Path, files: pathlib.Path, pem: pathlib.Path | None = None) -> Iterator[int]:
    """The system's vsftpd with a user of its own that only it knows; gives its port. Needs root."""
    for path in (files, *files.parents):
        if path.owner() == "root" and path.stat().st_mode & 0o005 != 0o005:
            path.chmod(path.stat().st_mode | 0o055)
    empty, passwords = directory / "empty", directory / "passwords"
    empty.mkdir(mode=0o755)
    passwords.write_text(f"{PLAIN_USER}:{_hash(PASSWORD)}\n")
    port = free_port()
    service = pathlib.Path("/etc/pam.d", f"run-production-test-{port}")  # PAM knows small letters only
    text = CONFIGURATION.format(port=port, files=files, empty=empty, service=service.name)
    if pem is not None:
        text += f"ssl_enable=YES\nrsa_cert_file={pem}\nforce_local_logins_ssl=YES\nforce_local_data_ssl=YES\n"
        text += "require_ssl_reuse=YES\nssl_ciphers=HIGH\n"
    configuration = directory / "vsftpd.conf"
    configuration.write_text(text.lstrip(), encoding="utf-8")
    service.write_text(PAM.format(passwords=passwords))
    program = shutil.which("vsftpd", path=f"{os.environ.get('PATH', '')}:/usr/sbin") or "vsftpd"
    try:
        with subprocess.Popen(
            [program, str(configuration)], stderr=subprocess.PIPE, stdin=subprocess.DEVNULL
        ) as server:
            try:
                until(lambda: answers(port), lambda: server.poll() is None)
                yield port
            finally:
                server.terminate()
                server.wait(LONG)
    finally:
        service.unlink()


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def answers(port: int) -> bool:
    """Whether somebody listens; asked without a pause more often than need be, but only for a moment."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def until(met: Callable[[], bool], alive: Callable[[], bool], seconds: float = LONG) -> None:
    pause = threading.Event()
    for _ in range(int(seconds / 0.02)):
        if met():
            return
        assert alive(), "it ended"
        pause.wait(0.02)
    raise AssertionError("it never came up")
