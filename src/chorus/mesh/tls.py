"""Certificates for talking to the other machines: read, and looked at before anything is connected."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from chorus.errors import InputError


class Credentials(NamedTuple):
    """Paths of PEM files: who is trusted, who this node is, and its key."""

    ca: Path
    certificate: Path
    key: Path

    def read(self) -> tuple[bytes, bytes, bytes]:
        """Return the three files; raises `InputError` for what is missing, no PEM, expired, or does not fit."""
        ca = _read(self.ca)
        _check(self.ca, ca)
        return ca, *read_pair(self.certificate, self.key)


def read_pair(certificate: Path, key: Path) -> tuple[bytes, bytes]:
    """Return a certificate and its key; raises `InputError` for what is missing, no PEM, expired, or does not fit."""
    shown, secret = _read(certificate), _read(key)
    _check(certificate, shown)
    try:
        private = load_pem_private_key(secret, None)
    except (ValueError, TypeError) as error:
        raise InputError(f"{key}: not an unencrypted private key in PEM ({error})") from error
    if private.public_key() != x509.load_pem_x509_certificate(shown).public_key():
        raise InputError(f"{key}: not the key of the certificate {certificate}")
    return shown, secret


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot read it ({error.strerror})") from error


def _check(path: Path, data: bytes) -> None:
    try:
        certificates = x509.load_pem_x509_certificates(data)
    except ValueError as error:
        raise InputError(f"{path}: not a certificate in PEM ({error})") from error
    now = datetime.now(UTC)
    for certificate in certificates:
        begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        if now > ends:
            raise InputError(f"{path}: the certificate expired on {ends:%Y-%m-%d %H:%M} UTC; issue a new one")
        if now < begins:
            raise InputError(
                f"{path}: the certificate is valid from {begins:%Y-%m-%d %H:%M} UTC only; is this machine's "
                f"clock right ({now:%Y-%m-%d %H:%M} UTC)?"
            )
