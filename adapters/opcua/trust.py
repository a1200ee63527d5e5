"""Certificates: our own, made on first use, and the list of those servers that we trust.

All files are in the adapter's data folder: ``own/certificate.der`` and ``own/key.pem`` (0600),
``trusted/`` (certificates of servers, or of the authorities that issued them, DER or PEM) and
``rejected/``, where unknown ones are kept until somebody moves them. Source: OPC 10000-4, 6.1.3
(what to check), OPC 10000-6, 6.2.2 (what an application's certificate holds). The functions block.
"""

from __future__ import annotations

import datetime as dt
import os
import re
from collections.abc import Iterator
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from msgspec import Struct

from canonical.errors import ConfigError, Unauthorized

__all__ = ["OwnCertificate", "TrustList", "Untrusted", "first_certificate", "own_certificate"]

LIFETIME = dt.timedelta(days=5 * 365)
SOON = dt.timedelta(days=30)
REJECTED_MAX = 100
KEY_BITS = 2048


class Untrusted(Unauthorized):
    """The server's certificate is not one that we trust, or no longer valid."""

    code = "certificate_untrusted"


class OwnCertificate(Struct, frozen=True, kw_only=True):
    """Where our certificate and key are, and until when it is valid."""

    certificate_path: Path
    key_path: Path
    application_uri: str
    valid_until: dt.datetime


def own_certificate(folder: Path, application_uri: str, host: str, now: dt.datetime) -> OwnCertificate:
    """Our certificate in ``folder``/own; it is made, with its key, when there is none.

    Raises ConfigError when only one of the files is there, or the certificate names another application.
    """
    own = folder / "own"
    certificate_path, key_path = own / "certificate.der", own / "key.pem"
    if certificate_path.exists() != key_path.exists():
        raise ConfigError(f"{own} has only one of certificate.der and key.pem; add the other or remove both")
    if not key_path.exists():
        own.mkdir(parents=True, exist_ok=True, mode=0o700)
        _create(certificate_path, key_path, application_uri, host, now)
    certificate = x509.load_der_x509_certificate(certificate_path.read_bytes())
    if application_uri not in _uris(certificate):
        raise ConfigError(
            f"{certificate_path} is for {', '.join(_uris(certificate)) or 'no application'}, not for "
            f"{application_uri}; set application_uri, or remove both files in {own} to have new ones made"
        )
    return OwnCertificate(
        certificate_path=certificate_path,
        key_path=key_path,
        application_uri=application_uri,
        valid_until=certificate.not_valid_after_utc,
    )


def _create(certificate_path: Path, key_path: Path, uri: str, host: str, now: dt.datetime) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    certificate = _self_signed(key, uri, host, now).public_bytes(serialization.Encoding.DER)
    _write(certificate_path, certificate, 0o644)
    _write(key_path, pem, 0o600)


def _self_signed(key: rsa.RSAPrivateKey, uri: str, host: str, now: dt.datetime) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, uri[:64])])
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=True,
        key_encipherment=True,
        data_encipherment=True,
        key_cert_sign=True,  # OPC 10000-6, 6.2.2: self-signed certificates have it
        key_agreement=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    public = key.public_key()
    names = [x509.UniformResourceIdentifier(uri), x509.DNSName(host)]
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))  # a plant's clocks differ
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
        .sign(key, hashes.SHA256())
    )


def _write(path: Path, content: bytes, mode: int) -> None:
    """The whole file or none, never readable by more than ``mode`` says."""
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
    temporary.replace(path)


class TrustList:
    """The folders ``trusted`` and ``rejected``, read anew at each check: a moved file counts at once."""

    def __init__(self, folder: Path) -> None:
        self.trusted, self.rejected = folder / "trusted", folder / "rejected"

    def check(self, der: bytes, url: str, now: dt.datetime) -> dt.datetime:
        """Until when the server's certificate is valid. Raises Untrusted that says what to do.

        Trusted is a certificate that lies in ``trusted``, or one whose issuer lies there.
        """
        self.trusted.mkdir(parents=True, exist_ok=True)
        try:
            certificate = x509.load_der_x509_certificate(first_certificate(der))
        except ValueError as error:
            raise Untrusted(f"{url} shows a certificate that cannot be read: {error}") from error
        if not any(_vouches(known, certificate, now) for known in self._known()):
            path = self._reject(certificate)
            raise Untrusted(
                f"the certificate of {url} ({certificate.subject.rfc4514_string()}) is unknown and was "
                f"refused; compare its SHA-256 {_fingerprint(certificate)} with the server's, then trust "
                f"it by moving {path} to {self.trusted}"
            )
        if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
            raise Untrusted(
                f"the certificate of {url} is valid from {certificate.not_valid_before_utc:%Y-%m-%d} to "
                f"{certificate.not_valid_after_utc:%Y-%m-%d}; renew it on the server, or mend a wrong clock",
                code="certificate_expired",
            )
        return certificate.not_valid_after_utc

    def _known(self) -> Iterator[x509.Certificate]:
        for path in sorted(self.trusted.iterdir()):
            try:
                content = path.read_bytes()
                if b"-----BEGIN" in content:
                    yield from x509.load_pem_x509_certificates(content)
                else:
                    yield x509.load_der_x509_certificate(content)
            except (ValueError, OSError):
                continue  # no certificate: a note that somebody put there

    def _reject(self, certificate: x509.Certificate) -> Path:
        """Keeps the certificate for whoever decides; the oldest go when there are too many."""
        self.rejected.mkdir(parents=True, exist_ok=True)
        name = re.sub(r"[^A-Za-z0-9.-]+", "_", _common_name(certificate))[:60]
        path = self.rejected / f"{name}_{_fingerprint(certificate)[:16]}.der"
        if not path.exists():
            kept = sorted(self.rejected.glob("*.der"), key=lambda file: file.stat().st_mtime)
            for old in kept[: max(0, len(kept) - REJECTED_MAX + 1)]:
                old.unlink(missing_ok=True)
            path.write_bytes(certificate.public_bytes(serialization.Encoding.DER))
        return path


def _vouches(known: x509.Certificate, certificate: x509.Certificate, now: dt.datetime) -> bool:
    """Whether a trusted certificate is this one, or a valid authority that issued it."""
    if known == certificate:
        return True
    try:
        constraints = known.extensions.get_extension_for_class(x509.BasicConstraints).value
        certificate.verify_directly_issued_by(known)
    except (x509.ExtensionNotFound, ValueError, TypeError, InvalidSignature):
        return False
    return constraints.ca and known.not_valid_before_utc <= now <= known.not_valid_after_utc


def first_certificate(der: bytes) -> bytes:
    """The leading certificate of what may be a chain (OPC 10000-6, 6.2.6)."""
    if len(der) > 4 and der[0] == 0x30 and der[1] == 0x82:
        return der[: int.from_bytes(der[2:4], "big") + 4]
    return der


def _fingerprint(certificate: x509.Certificate) -> str:
    return certificate.fingerprint(hashes.SHA256()).hex()


def _common_name(certificate: x509.Certificate) -> str:
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else "certificate"


def _uris(certificate: x509.Certificate) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return names.get_values_for_type(x509.UniformResourceIdentifier)
