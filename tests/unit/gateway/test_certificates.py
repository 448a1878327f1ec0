"""The authority's folder: what it makes, what it keeps, and what it refuses."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from core.errors import ConflictError, InvalidError, NotFoundError
from gateway.ca.folder import CaFolder

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
YEAR = timedelta(days=365)


@pytest.fixture
def folder(tmp_path: Path) -> CaFolder:
    made = CaFolder(tmp_path / "ca", passphrase=str)
    made.begin(passphrase="", now=NOW)
    return made


def request(name: str, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return made.public_bytes(serialization.Encoding.PEM)


def curve() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def lists(folder: CaFolder) -> list[x509.CertificateRevocationList]:
    parts = (folder.root / "devices.crl").read_bytes().split(b"-----END X509 CRL-----\n")
    return [x509.load_pem_x509_crl(p + b"-----END X509 CRL-----\n") for p in parts if p.strip()]


def test_nobody_else_can_read_a_key(folder: CaFolder) -> None:
    folder.issue_server(["broker.example.org"], now=NOW)

    assert folder.root.stat().st_mode & 0o777 == 0o700
    for file in folder.root.iterdir():
        assert file.stat().st_mode & 0o777 == 0o600


def test_a_locked_key_opens_with_its_passphrase_alone(tmp_path: Path) -> None:
    folder = CaFolder(tmp_path / "ca", passphrase=lambda: "correct horse battery")
    folder.begin(passphrase="correct horse battery", now=NOW)
    folder.issue_device("ada", request=None, valid_for=YEAR, now=NOW)

    with pytest.raises(InvalidError, match="cannot be opened"):
        CaFolder(folder.root, passphrase=lambda: "wrong").issue_device(
            "ada", request=None, valid_for=YEAR, now=NOW
        )
    with pytest.raises(InvalidError, match="short"):
        CaFolder(tmp_path / "other", passphrase=str).begin(passphrase="short", now=NOW)


def test_a_wrong_passphrase_revokes_nothing(tmp_path: Path) -> None:
    folder = CaFolder(tmp_path / "ca", passphrase=lambda: "correct horse battery")
    folder.begin(passphrase="correct horse battery", now=NOW)
    folder.issue_device("ada", request=None, valid_for=YEAR, now=NOW)

    with pytest.raises(InvalidError):
        CaFolder(folder.root, passphrase=lambda: "wrong").revoke("ada", now=NOW)

    assert [one.revoked_at for one in folder.issued()] == [None]


@pytest.mark.parametrize("name", ["", "a/b", "+", "#", "forecare.gateway", "a b", "x" * 65])
def test_a_name_that_is_no_device_s_gets_no_certificate(folder: CaFolder, name: str) -> None:
    with pytest.raises(InvalidError):
        folder.issue_device(name, request=None, valid_for=YEAR, now=NOW)

    assert folder.issued() == ()


def test_a_device_may_keep_its_key_to_itself(folder: CaFolder) -> None:
    key = curve()

    files = folder.issue_device("ada", request=request("ada", key), valid_for=YEAR, now=NOW)

    certificate = x509.load_pem_x509_certificate(files.certificate)
    assert files.key is None
    assert certificate.public_key() == key.public_key()


def test_a_request_for_another_name_or_another_kind_of_key_is_refused(folder: CaFolder) -> None:
    large = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    for asked in (request("bob", curve()), request("ada", large), b"nothing"):
        with pytest.raises(InvalidError):
            folder.issue_device("ada", request=asked, valid_for=YEAR, now=NOW)


def test_no_certificate_outlives_its_authority(folder: CaFolder) -> None:
    files = folder.issue_device("ada", request=None, valid_for=YEAR * 20, now=NOW)

    root = x509.load_pem_x509_certificate((folder.root / "ca-1.crt").read_bytes())
    assert files.issued.ends_at == root.not_valid_after_utc


def test_each_list_of_the_revoked_is_newer_than_the_one_before(folder: CaFolder) -> None:
    for name in ("ada", "bob"):
        folder.issue_device(name, request=None, valid_for=YEAR, now=NOW)

    seen = []
    for name in ("ada", "bob"):
        folder.revoke(name, now=NOW)
        (made,) = lists(folder)
        seen.append((made.last_update_utc, len(made)))

    assert seen[0][0] < seen[1][0] < NOW
    assert [count for _, count in seen] == [1, 2]


def test_while_two_authorities_count_each_has_its_list(folder: CaFolder) -> None:
    folder.issue_device("ada", request=None, valid_for=YEAR, now=NOW)
    folder.begin(passphrase="", now=NOW)
    folder.issue_device("bob", request=None, valid_for=YEAR, now=NOW)

    folder.revoke("ada", now=NOW)

    assert [(made.issuer.rfc4514_string(), len(made)) for made in lists(folder)] == [
        ("CN=Forecare devices 1", 1),
        ("CN=Forecare devices 2", 0),
    ]


def test_who_trusts_the_old_authority_alone_follows_the_chain_of_the_new_one(
    folder: CaFolder,
) -> None:
    old = x509.load_pem_x509_certificate((folder.root / "ca-1.crt").read_bytes())
    folder.begin(passphrase="", now=NOW)
    folder.issue_server(["broker.example.org"], now=NOW)
    server, *bridge = x509.load_pem_x509_certificates((folder.root / "server.crt").read_bytes())
    verifier = (
        PolicyBuilder()
        .store(Store([old]))
        .time(NOW)
        .build_server_verifier(x509.DNSName("broker.example.org"))
    )

    assert len(verifier.verify(server, bridge)) == 3
    with pytest.raises(VerificationError):
        verifier.verify(server, [])


def test_the_only_authority_cannot_be_retired(folder: CaFolder) -> None:
    with pytest.raises(ConflictError):
        folder.retire(1, now=NOW)
    folder.begin(passphrase="", now=NOW)
    folder.retire(1, now=NOW)

    assert folder.generations() == (2,)
    folder.begin(passphrase="", now=NOW)
    assert folder.generations() == (2, 3)


def test_a_line_that_a_crash_cut_off_harms_nothing(folder: CaFolder) -> None:
    folder.issue_device("ada", request=None, valid_for=YEAR, now=NOW)
    with (folder.root / "issued.jsonl").open("a") as stream:
        stream.write('{"serial": "12')

    folder.issue_device("bob", request=None, valid_for=YEAR, now=NOW)

    assert [one.name for one in folder.issued()] == ["ada", "bob"]


def test_what_was_never_issued_cannot_be_revoked(folder: CaFolder) -> None:
    folder.issue_device("ada", request=None, valid_for=YEAR, now=NOW)

    for arguments in (
        {"name": "bob"},
        {"name": "ada", "serial": "12"},
        {"name": "ada", "keep_newest": True},
    ):
        with pytest.raises(NotFoundError):
            folder.revoke(now=NOW, **arguments)
