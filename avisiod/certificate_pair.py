"""Certificates in files: read, judged, and taken up when they are renewed; bad ones leave the former in use."""

import dataclasses
import datetime
import ipaddress
import logging
from collections.abc import Callable
from pathlib import Path

import service_identity
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from service_identity.cryptography import extract_patterns
from service_identity.hazmat import DNS_ID, IPAddress_ID, ServiceID, verify_service_identity

_log = logging.getLogger(__name__)

SOON = datetime.timedelta(days=14)
"""A certificate with less time left should have been renewed: authorities of the web renew a month before."""


class CertificateUnusable(Exception):
    """Certificate or key cannot be used; the text names the file and the cause."""


@dataclasses.dataclass(frozen=True, slots=True)
class Facts:
    """What a certificate says."""

    begins: datetime.datetime
    ends: datetime.datetime
    certificate: x509.Certificate

    def covers(self, host: str) -> bool:
        """Whether it was made out for this name or address."""
        try:
            wanted: ServiceID = IPAddress_ID(ipaddress.ip_address(host))
        except ValueError:
            wanted = DNS_ID(host)
        try:
            verify_service_identity(extract_patterns(self.certificate), [wanted], [])
        except (service_identity.VerificationError, service_identity.CertificateError):
            return False
        return True


def read(certificate_file: str | Path, key_file: str | Path = "") -> Facts:
    """Read the first certificate of a PEM file, and see whether the key is its key where one is named.

    CertificateUnusable names the file and says what is wrong with it.
    """
    try:
        certificate = x509.load_pem_x509_certificates(Path(certificate_file).read_bytes())[0]
        public = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except OSError as error:
        raise CertificateUnusable(f"the certificate {certificate_file} cannot be read: {error.strerror}") from None
    except (ValueError, UnsupportedAlgorithm):
        raise CertificateUnusable(f"{certificate_file} holds no certificate in PEM form") from None
    if key_file:
        try:
            key = load_pem_private_key(Path(key_file).read_bytes(), None).public_key()
        except OSError as error:
            raise CertificateUnusable(f"the key {key_file} cannot be read: {error.strerror}") from None
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise CertificateUnusable(f"{key_file} holds no key in PEM form without a passphrase") from None
        if key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) != public:
            raise CertificateUnusable(f"the key {key_file} is not that of the certificate {certificate_file}")
    return Facts(certificate.not_valid_before_utc, certificate.not_valid_after_utc, certificate)


def doubts(facts: Facts, now: datetime.datetime, host: str = "") -> list[str]:
    """What makes visitors turn away though certificate and key belong together; empty where all is well."""
    found = []
    if now >= facts.ends:
        found.append(f"it ended on {facts.ends:%Y-%m-%d}")
    elif now < facts.begins:
        found.append(f"it begins on {facts.begins:%Y-%m-%d} only: look at the clock of this machine")
    elif facts.ends - now < SOON:
        found.append(f"it ends on {facts.ends:%Y-%m-%d}")
    if host and not facts.covers(host):
        found.append(f"it is not made out for {host}")
    return found


class Renewable:
    """A certificate and its key, read again when either file has changed; bad ones never take a good one's place."""

    def __init__(
        self,
        what: str,
        certificate_file: str,
        key_file: str,
        utc: Callable[[], datetime.datetime],
        take: Callable[[], None],
        host: str = "",
    ) -> None:
        """`what` names it in the log; `take` puts the files into use, and raises CertificateUnusable where it cannot.

        The first ones are taken even if they ended: families turned away by their browsers are told more than by a
        daemon that does not start. CertificateUnusable where they cannot be used at all.
        """
        self._what, self._files, self._utc, self._take, self._host = (
            what,
            (certificate_file, key_file),
            utc,
            take,
            host,
        )
        self._stamp = self._stamped()
        self.facts = read(*self._files)
        self.refused = 0
        """Renewed files that were not taken."""
        take()
        self._say_doubts()

    def look(self) -> bool:
        """Take renewed files up; whether there were any that are good. Call it as often as you like."""
        stamp = self._stamped()
        if stamp == self._stamp:
            return False
        self._stamp = stamp  # judged once, whatever comes of it
        try:
            facts = self._valid(read(*self._files))
            self._take()
        except CertificateUnusable as error:
            self.refused += 1
            _log.warning("%s; the former certificate of %s stays in use", error, self._what)
            return False
        self.facts = facts
        _log.info("the renewed certificate of %s is in use, until %s", self._what, f"{facts.ends:%Y-%m-%d}")
        self._say_doubts()
        return True

    def _valid(self, facts: Facts) -> Facts:
        now = self._utc()
        if not facts.begins <= now < facts.ends:
            raise CertificateUnusable(f"the certificate {self._files[0]}: {doubts(facts, now)[0]}")
        return facts

    def _say_doubts(self) -> None:
        for doubt in doubts(self.facts, self._utc(), self._host):
            _log.warning("the certificate of %s, %s: %s; renew it", self._what, self._files[0], doubt)

    def _stamped(self) -> tuple[object, ...]:
        return tuple(_stamp(Path(file)) for file in self._files if file)


def _stamp(path: Path) -> object:
    try:
        about = path.stat()
    except OSError as error:
        return error.errno
    return about.st_mtime_ns, about.st_size, about.st_ino
