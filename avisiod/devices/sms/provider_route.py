"""A provider as a route: credentials from their file, the question, the answer, and the names of what it took."""

import collections
from pathlib import Path

import yaml
from twisted.internet.defer import Deferred

from avisiod.clock import Clock
from avisiod.config.sms import SmsRoute
from avisiod.devices.sms.exchange import Outgoing
from avisiod.devices.sms.http_client import HttpClient
from avisiod.devices.sms.providers import provider
from avisiod.devices.sms_failure import FailureKind, RouteFailure
from avisiod.ports import Sms

REMEMBERED = 10_000
"""Names of messages whose report may still come."""


class ProviderRoute:
    """Route for SMS through a provider."""

    def __init__(self, settings: SmsRoute, sender: str, clock: Clock, client: HttpClient, callback: str = "") -> None:
        self.settings = settings
        self._sender = settings.sender or sender
        self._clock = clock
        self._client = client
        self._callback = callback
        self._provider = provider(settings)
        self._names: collections.OrderedDict[str, str] = collections.OrderedDict()

    def send(self, sms: Sms) -> Deferred[None]:
        """Done when the provider has accepted the message; RouteFailure when not. Cancelling hangs up."""
        return Deferred.fromCoroutine(self._send(sms))

    async def _send(self, sms: Sms) -> None:
        out = Outgoing(
            sms=sms,
            sender=self._sender,
            secrets=secrets_of(self.settings.secret_file),
            at_utc=self._clock.utc(),
            callback=self._callback,
        )
        question = self._provider.question(out)
        answer = await self._client.ask(question, self.settings.timeout_s)
        name = self._provider.accepted(answer, out)
        self._names[name or sms.id] = sms.id
        while len(self._names) > REMEMBERED:
            self._names.popitem(last=False)

    def sms_of(self, name: str) -> str | None:
        """Our name of a message that the provider, or we, call so; None where it had none of that name from us."""
        if name in self._names:
            return self._names[name]
        return name if name in self._names.values() else None


def secrets_of(file: str) -> dict[str, str]:
    """The credentials in a file of `NAME: value` lines; RouteFailure, without any of them, where it is not usable."""
    if not file:
        return {}
    try:
        content = yaml.safe_load(Path(file).read_text("utf-8"))
    except OSError as error:
        raise RouteFailure(FailureKind.CREDENTIALS, f"{file} cannot be read ({error.strerror})") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        content = None
    if not isinstance(content, dict) or not all(isinstance(v, str | int) for v in content.values()):
        raise RouteFailure(FailureKind.CREDENTIALS, f"{file} has not `NAME: value` lines")
    return {str(name): str(value) for name, value in content.items()}
