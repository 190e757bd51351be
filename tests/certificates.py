"""A private authority and what it signs, made by the ``openssl`` program."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

__all__ = ["Authority", "Pair", "openssl"]


def openssl() -> str | None:
    """Return the program, if there is one."""
    return shutil.which("openssl")


class Pair(NamedTuple):
    """Files of a certificate and its key."""

    certificate: Path
    key: Path


class Authority:
    """Somebody whom only those trust who know its certificate."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self._folder = folder
        self.own = Pair(folder / f"{name}.pem", folder / f"{name}.key")
        self._run(
            *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", f"/CN=the tests' {name}"),
            *("-addext", "basicConstraints=critical,CA:TRUE"),
            *("-keyout", str(self.own.key), "-out", str(self.own.certificate)),
        )

    def sign(self, name: str, *hosts: str) -> Pair:
        """Make a certificate for hosts, given as ``DNS:localhost, IP:127.0.0.1``."""
        pair = Pair(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        request, extra = self._folder / f"{name}.csr", self._folder / f"{name}.ext"
        self._run(
            *("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-subj", f"/CN={name}", "-keyout", str(pair.key), "-out", str(request)),
        )
        names = f"subjectAltName={','.join(hosts)}\n" if hosts else ""
        extra.write_text(f"{names}basicConstraints=CA:FALSE\n")
        self._run(
            *("x509", "-req", "-in", str(request), "-days", "2", "-CAcreateserial"),
            *("-CA", str(self.own.certificate), "-CAkey", str(self.own.key)),
            *("-extfile", str(extra), "-out", str(pair.certificate)),
        )
        return pair

    @staticmethod
    def _run(*words: str) -> None:
        program = openssl()
        assert program is not None
        subprocess.run([program, *words], check=True, capture_output=True, timeout=30)
