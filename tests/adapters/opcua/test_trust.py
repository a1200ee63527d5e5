"""Our certificate, and the list of those we trust."""

import datetime as dt
import os
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from adapters.opcua.trust import REJECTED_MAX, TrustList, Untrusted, own_certificate
from canonical.errors import ConfigError
from tests.certificates import Authority

NOW = dt.datetime.now(dt.UTC)
URI = "urn:crossplant:press"
URL = "opc.tcp://127.0.0.1:4840"


def made(folder: Path, uri: str = URI) -> bytes:
    """The DER of a new certificate, as a server might show it."""
    return own_certificate(folder, uri, "host", NOW).certificate_path.read_bytes()


def test_our_certificate_is_made_once_and_names_the_application(tmp_path: Path) -> None:
    first = own_certificate(tmp_path, URI, "host", NOW)
    certificate = x509.load_der_x509_certificate(first.certificate_path.read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [URI]
    assert first.key_path.stat().st_mode & 0o777 == 0o600
    assert own_certificate(tmp_path, URI, "other", NOW) == first
    assert first.valid_until > NOW + dt.timedelta(days=1000)


def test_a_certificate_of_another_application_is_refused(tmp_path: Path) -> None:
    own_certificate(tmp_path, URI, "host", NOW)
    with pytest.raises(ConfigError, match="is for urn:crossplant:press, not for urn:other"):
        own_certificate(tmp_path, "urn:other", "host", NOW)


def test_half_a_pair_is_refused(tmp_path: Path) -> None:
    own_certificate(tmp_path, URI, "host", NOW).key_path.unlink()
    with pytest.raises(ConfigError, match="only one of"):
        own_certificate(tmp_path, URI, "host", NOW)


def test_an_unknown_certificate_is_kept_and_refused(tmp_path: Path) -> None:
    trust, der = TrustList(tmp_path), made(tmp_path / "server")
    with pytest.raises(Untrusted, match="unknown and was refused"):
        trust.check(der, URL, NOW)
    (kept,) = trust.rejected.iterdir()
    assert kept.read_bytes() == der
    kept.rename(trust.trusted / "any name")
    assert trust.check(der, URL, NOW) > NOW


def test_the_first_of_a_chain_counts(tmp_path: Path) -> None:
    trust, der = TrustList(tmp_path), made(tmp_path / "server")
    trust.trusted.mkdir()
    (trust.trusted / "server.der").write_bytes(der)
    assert trust.check(der + made(tmp_path / "other", "urn:other"), URL, NOW) > NOW


def test_an_authority_vouches_for_what_it_issued(tmp_path: Path) -> None:
    authority = Authority.create(tmp_path / "ca")
    issued = x509.load_pem_x509_certificate(authority.issue("server").certificate_path.read_bytes())
    der = issued.public_bytes(Encoding.DER)
    trust = TrustList(tmp_path / "data")
    with pytest.raises(Untrusted):
        trust.check(der, URL, NOW)
    (trust.trusted / "ca.pem").write_bytes(authority.certificate_path.read_bytes())
    (trust.trusted / "notes.txt").write_text("checked on the phone")
    assert trust.check(der, URL, NOW) == issued.not_valid_after_utc
    with pytest.raises(Untrusted):
        trust.check(made(tmp_path / "stranger"), URL, NOW)


def test_an_expired_certificate_is_refused_although_trusted(tmp_path: Path) -> None:
    trust, der = TrustList(tmp_path), made(tmp_path / "server")
    trust.trusted.mkdir()
    (trust.trusted / "server.der").write_bytes(der)
    with pytest.raises(Untrusted, match="renew it on the server, or mend a wrong clock") as refused:
        trust.check(der, URL, NOW + dt.timedelta(days=4000))
    assert refused.value.code == "certificate_expired"


def test_rubbish_is_no_certificate(tmp_path: Path) -> None:
    with pytest.raises(Untrusted, match="cannot be read"):
        TrustList(tmp_path).check(b"rubbish", URL, NOW)


def test_strangers_cannot_fill_the_disk(tmp_path: Path) -> None:
    trust, der = TrustList(tmp_path), made(tmp_path / "server")
    trust.rejected.mkdir()
    for number in range(REJECTED_MAX + 5):
        path = trust.rejected / f"{number}.der"
        path.write_bytes(b"x")
        os.utime(path, (number, number))
    with pytest.raises(Untrusted):
        trust.check(der, URL, NOW)
    assert len(list(trust.rejected.iterdir())) == REJECTED_MAX
    assert not (trust.rejected / "0.der").exists()
