"""Certificates of the tests' own, made by ``openssl`` and Java's ``keytool``."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path


def openssl(*arguments: object) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


@dataclass
class Authority:
    """A certificate authority of the test's own."""

    folder: Path

    @property
    def certificate(self) -> Path:
        return self.folder / "ca.pem"

    def create(self) -> Authority:
        self.folder.mkdir()
        openssl(
            *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"),
            *("-subj", "/CN=Test CA", "-keyout", self.folder / "ca.key", "-out", self.certificate),
        )
        return self

    def issue(self, name: str, san: str, *, days: str = "2") -> tuple[Path, Path]:
        """Certificate and key."""
        key, request, certificate, extension = (
            self.folder / f"{name}.{suffix}" for suffix in ("key", "csr", "pem", "ext")
        )
        extension.write_text(f"subjectAltName={san}\nbasicConstraints=CA:FALSE\n")
        openssl(
            *("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN={name}"),
            *("-keyout", key, "-out", request),
        )
        openssl(
            *("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.folder / "ca.key"),
            *("-CAcreateserial", "-days", days, "-extfile", extension, "-out", certificate),
        )
        return certificate, key

    def keystore(self, name: str, san: str) -> Path:
        certificate, key = self.issue(name, san)
        store = self.folder / f"{name}.p12"
        openssl(
            *("pkcs12", "-export", "-in", certificate, "-inkey", key, "-name", name, "-passout", "pass:changeit"),
            *("-out", store),
        )
        return store

    def truststore(self) -> Path:
        store = self.folder / "trust.p12"
        if store.exists():
            return store
        subprocess.run(
            [
                *("keytool", "-importcert", "-noprompt", "-alias", "ca", "-file", self.certificate),
                *("-keystore", store, "-storetype", "PKCS12", "-storepass", "changeit"),
            ],
            check=True,
            capture_output=True,
        )
        return store
