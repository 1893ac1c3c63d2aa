"""The portal's certificate: modern TLS, and a renewed file is taken up without a restart that would end calls."""

import datetime
import pathlib
from collections.abc import Callable

from OpenSSL import SSL
from twisted.internet import ssl
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from zope.interface import implementer

from avisiod.certificate_pair import CertificateUnusable, Renewable
from avisiod.clock import wall_utc


@implementer(IOpenSSLServerConnectionCreator)
class Certificate:
    """Twisted's maker of connections: asked at each connection, it looks whether the files were renewed."""

    def __init__(
        self,
        certificate_file: str,
        key_file: str,
        section: str = "portal",
        *,
        utc: Callable[[], datetime.datetime] = wall_utc,
        host: str = "",
    ) -> None:
        """`section` of the settings names the files; `host` is what visitors type, where there is a page to visit.

        CertificateUnusable where the files cannot be used at all.
        """
        self._section = section
        self._files = pathlib.Path(certificate_file), pathlib.Path(key_file)
        self.renewable = Renewable(f"the {section}", certificate_file, key_file, utc, self._take, host)

    def serverConnectionForTLS(self, protocol: object) -> SSL.Connection:  # noqa: ARG002, N802 - Twisted's names
        """A connection with the newest files that work; those that are open go on with theirs."""
        self.renewable.look()
        return SSL.Connection(self._context, None)

    def _take(self) -> None:
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
        self._context = context
