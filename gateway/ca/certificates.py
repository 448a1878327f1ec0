"""Makes certificates and lists of revoked ones. Pure but for the keys and serial numbers it is given."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from core.errors import InvalidError

PublicKey = ec.EllipticCurvePublicKey
PrivateKey = ec.EllipticCurvePrivateKey
AUTHORITY_FOR = timedelta(days=3650)
SERVER_FOR = timedelta(days=825)
DEVICE_FOR = timedelta(days=365)
_CLOCK_OFF = timedelta(hours=1)
"""How far a device's clock may be behind and still take a fresh certificate for valid."""
_CA_USE = {"key_cert_sign": True, "crl_sign": True}
_LEAF_USE = {"digital_signature": True}
_USES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """Who signs."""

    certificate: x509.Certificate
    key: PrivateKey


def new_key() -> PrivateKey:
    """Return a P-256 key: every TLS library of a small device knows the curve."""
    return ec.generate_private_key(ec.SECP256R1())


def make_authority(
    *, title: str, generation: int, key: PrivateKey, serial: int, now: datetime
) -> x509.Certificate:
    """Return the certificate of a new authority, signed by itself."""
    name = _name(f"{title} {generation}")
    until = now + AUTHORITY_FOR
    builder = _ca_builder(
        name, key.public_key(), serial=serial, now=now, until=until, authorities_below=1
    )
    return builder.issuer_name(name).sign(key, hashes.SHA256())


def cross_sign(
    new: x509.Certificate, *, by: Authority, serial: int, now: datetime
) -> x509.Certificate:
    """Let an older authority vouch for a newer one: who trusts the older one alone follows the chain."""
    until = by.certificate.not_valid_after_utc
    key = new.public_key()
    assert isinstance(key, PublicKey)
    builder = _ca_builder(
        new.subject, key, serial=serial, now=now, until=until, authorities_below=0
    )
    return builder.issuer_name(by.certificate.subject).sign(by.key, hashes.SHA256())


def issue_server(  # noqa: PLR0913 - what stands in a certificate
    names: Sequence[str],
    key: PublicKey,
    *,
    by: Authority,
    serial: int,
    now: datetime,
    valid_for: timedelta = SERVER_FOR,
) -> x509.Certificate:
    """Return a certificate for a server under host names or IP addresses.

    Good for nothing else: as a device it is refused, whatever its name.
    """
    builder = _leaf(names[0], key, by=by, serial=serial, now=now, valid_for=valid_for)
    return (
        builder.add_extension(x509.SubjectAlternativeName([_alternative(n) for n in names]), False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)
        .sign(by.key, hashes.SHA256())
    )


def issue_device(  # noqa: PLR0913 - what stands in a certificate
    name: str,
    key: PublicKey,
    *,
    by: Authority,
    serial: int,
    now: datetime,
    valid_for: timedelta = DEVICE_FOR,
) -> x509.Certificate:
    """Return a certificate with which a device is `name` at the broker."""
    builder = _leaf(name, key, by=by, serial=serial, now=now, valid_for=valid_for)
    return builder.add_extension(
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False
    ).sign(by.key, hashes.SHA256())


def revocation_list(
    revoked: Sequence[tuple[int, datetime]], *, by: Authority, made_at: datetime, number: int
) -> x509.CertificateRevocationList:
    """Return the list of serial numbers that are void.

    It never runs out before its authority does: a list that is out of date would shut all devices out.
    """
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(by.certificate.subject)
        .last_update(made_at)
        .next_update(by.certificate.not_valid_after_utc)
        .add_extension(x509.CRLNumber(number), False)
    )
    for serial, at in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(at).build()
        builder = builder.add_revoked_certificate(entry)
    return builder.sign(by.key, hashes.SHA256())


def request_key(pem: bytes, *, name: str) -> PublicKey:
    """Return the key of a signing request of the device `name`.

    Raises
    ------
    InvalidError
        If it is none, is not signed with its own key, or asks for another name.
    """
    try:
        request = x509.load_pem_x509_csr(pem)
    except ValueError as error:
        raise InvalidError(
            "this is no signing request in PEM form",
            hint=f"openssl req -new -key device.key -subj /CN={name}",
        ) from error
    asked = [str(a.value) for a in request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    key = request.public_key()
    if asked != [name] or not request.is_signature_valid:
        raise InvalidError(
            f"the request asks for {', '.join(asked) or 'nobody'}, or its signature is wrong",
            hint=f"make it with the key of {name}: openssl req -new -key device.key -subj /CN={name}",
        )
    if not isinstance(key, PublicKey):
        raise InvalidError(
            "the request's key is not on an elliptic curve",
            hint="openssl ecparam -genkey -name prime256v1 -noout -out device.key",
        )
    return key


def _ca_builder(  # noqa: PLR0913 - what stands in a certificate
    subject: x509.Name,
    key: PublicKey,
    *,
    serial: int,
    now: datetime,
    until: datetime,
    authorities_below: int,
) -> x509.CertificateBuilder:
    return (
        _builder(subject, key, serial=serial, now=now, until=until)
        .add_extension(x509.BasicConstraints(ca=True, path_length=authorities_below), True)
        .add_extension(_use(_CA_USE), True)
    )


def _leaf(  # noqa: PLR0913 - what stands in a certificate
    name: str,
    key: PublicKey,
    *,
    by: Authority,
    serial: int,
    now: datetime,
    valid_for: timedelta,
) -> x509.CertificateBuilder:
    signer = by.key.public_key()
    until = min(now + valid_for, by.certificate.not_valid_after_utc)
    return (
        _builder(_name(name), key, serial=serial, now=now, until=until)
        .issuer_name(by.certificate.subject)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
        .add_extension(_use(_LEAF_USE), True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer), False)
    )


def _builder(
    subject: x509.Name, key: PublicKey, *, serial: int, now: datetime, until: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key)
        .serial_number(serial)
        .not_valid_before(now - _CLOCK_OFF)
        .not_valid_after(until)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), False)
    )


def _use(uses: dict[str, bool]) -> x509.KeyUsage:
    return x509.KeyUsage(**(dict.fromkeys(_USES, False) | uses))


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)
