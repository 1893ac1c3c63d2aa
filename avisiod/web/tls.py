"""The portal's certificate: modern TLS, and a renewed file is taken up without a restart that would end calls."""

import logging
import pathlib

from OpenSSL import SSL
from twisted.internet import ssl
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from zope.interface import implementer

log = logging.getLogger(__name__)


class CertificateUnusable(Exception):
    """Certificate or key cannot be used; the text names the file and the cause."""


@implementer(IOpenSSLServerConnectionCreator)
class Certificate:
    """Twisted's maker of connections: asked at each connection, it looks whether the files were renewed."""

    def __init__(self, certificate_file: str, key_file: str, section: str = "portal") -> None:
        """`section` of the settings names the files, for whoever reads what is wrong with them."""
        self._section = section
        self._files = pathlib.Path(certificate_file), pathlib.Path(key_file)
        self._stamp = self._read_stamp()
        self._context = self._load()
        self._complained = False

    def serverConnectionForTLS(self, protocol: object) -> SSL.Connection:  # noqa: ARG002, N802 - Twisted's names
        """A connection with the newest files that work."""
        return SSL.Connection(self._newest(), None)

    def _newest(self) -> SSL.Context:
        try:
            stamp = self._read_stamp()
            if stamp != self._stamp:
                self._context = self._load()
                self._stamp = stamp
                self._complained = False
                log.info("the renewed certificate of the %s is in use", self._section)
        except CertificateUnusable as error:
            log.log(logging.DEBUG if self._complained else logging.WARNING, "%s; the former one stays in use", error)
            self._complained = True
        return self._context

    def _read_stamp(self) -> tuple[tuple[int, int], ...]:
        try:
            return tuple((file.stat().st_mtime_ns, file.stat().st_size) for file in self._files)
        except OSError as error:
            raise CertificateUnusable(f"{self._section} certificate: {error}") from error

    def _load(self) -> SSL.Context:
        certificate_file, key_file = self._files
        options = ssl.CertificateOptions(
            raiseMinimumTo=ssl.TLSVersion.TLSv1_2, acceptableProtocols=[b"http/1.1"], trustRoot=None
        )
        context = options.getContext()
        try:
            context.use_certificate_chain_file(str(certificate_file))
            context.use_privatekey_file(str(key_file))
            context.check_privatekey()
        except (SSL.Error, OSError) as error:
            raise CertificateUnusable(
                f"{self._section}.certificate_file {certificate_file} with key_file {key_file}: {error}"
            ) from error
        return context
