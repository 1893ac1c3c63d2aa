"""The settings of the routes by which codes leave: modems, providers, and what all of them share."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from avisiod.config.section import Port, Seconds, Section

RouteKind = Literal["ovh", "smsfactor", "twilio", "teltonika", "http", "modem"]


class Modem(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A GSM modem that sends the codes, where it is the only route; more routes: `sms.routes`."""

    device: str = ""
    """Path of its serial port, best below /dev/serial/by-id; empty: none."""
    baud: Annotated[int, Meta(ge=300)] = 115200
    """Speed of the serial port in bit/s."""
    pin_file: str = ""
    """File with the SIM's PIN; empty: none needed."""
    pin_mark_file: str = "/var/lib/avisiod/modem-pin-tried"
    """Notes that the PIN was tried, so that a wrong one is never sent twice, after a restart neither."""
    reports: bool = True
    """Ask the network for delivery reports."""
    texts_folder: str = ""
    """The site's own texts of the code SMS, LANGUAGE.yaml; they replace ours or add a language."""


class SmsRequest(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a provider that we do not know is asked.

    `url`, `headers` and `body` may hold {number} (+33…), {digits} (33…), {text}, {sender}, {id}, {callback} and
    {secret.NAME}, NAME being a line of the route's secret_file.
    """

    method: Literal["GET", "POST", "PUT"] = "POST"
    """Of HTTP."""
    headers: dict[str, str] = msgspec.field(default_factory=dict)
    """Beside Content-Type, which follows `format`."""
    body: str = ""
    """What is sent; empty with GET."""
    format: Literal["json", "form", "text"] = "json"
    """How values are escaped within `body`."""
    accepted_status: tuple[int, ...] = (200, 201, 202)
    """Status codes of an answer that may mean that the message was taken."""
    accepted_field: str = ""
    """Field of a JSON answer that must have one of `accepted_values`, such as result.status; empty: the status code
    alone decides."""
    accepted_values: tuple[str, ...] = ()
    """Written as text: 1, true, OK."""
    id_field: str = ""
    """Field of a JSON answer with the provider's name of the message, such as messages.0.id; empty: none is told."""


class SmsReports(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a provider's delivery reports are read. Twilio's are known; any other's fields are named here."""

    id_field: str = ""
    """Field, of the query, the form or the JSON body, with the message's name: ours ({id}) or the provider's. Empty:
    this provider sends none."""
    status_field: str = ""
    """Field with what became of the message."""
    delivered: tuple[str, ...] = ()
    """Its values that mean: the telephone has it."""
    failed: tuple[str, ...] = ()
    """Its values that mean: it will never have it. Anything else is no news."""


class SmsRoute(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A route. Which keys are used depends on its kind, see docs/sms.md."""

    name: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")]
    """Short, in small letters: metrics, the log and avisioctl call it so."""
    kind: RouteKind
    """`ovh`, `smsfactor`, `twilio`, `teltonika` (a router), `http` (anything else, by `request`) or `modem`."""
    url: str = ""
    """Where the provider is asked; empty: where the kind's own is. Of a router: https://ROUTER."""
    account: str = ""
    """OVHcloud: the SMS service (sms-ab12345-1). Twilio: the Account SID."""
    sender: str = ""
    """Empty: sms.sender. A modem and a router show their own number whatever stands here."""
    secret_file: str = ""
    """Credentials, a line each, `NAME: value`; read again for every message, so that a change needs no restart."""
    ca_file: str = ""
    """PEM: believe these authorities and no others, for a router with a certificate of its own."""
    timeout_s: Annotated[float, Meta(gt=0, le=30)] = 8.0
    """A provider that has not answered by then has failed; the next route was tried before, see sms.overtake_s."""
    per_minute: Annotated[int, Meta(ge=0)] = 0
    """No more messages a minute; 0: no limit."""
    per_day: Annotated[int, Meta(ge=0)] = 0
    """No more messages a day of the site's calendar; 0: no limit."""
    cost_cents: Annotated[float, Meta(ge=0)] = 0.0
    """Of one message, for the sums in metrics and avisioctl."""
    request: SmsRequest = SmsRequest()
    """Of kind http."""
    reports: SmsReports = SmsReports()
    """Delivery reports of a provider."""
    device: str = ""
    """Of a modem: the path of its serial port; with * it stands for as many as there are and come."""
    baud: Annotated[int, Meta(ge=300)] = 115200
    """Of a modem: speed of the serial port in bit/s."""
    pin_file: str = ""
    """Of a modem: file with the SIM's PIN; empty: none needed."""


class Sms(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How codes leave: the routes, in order of preference."""

    sender: str = "Avisio.io"
    """As telephones show it where a route can: 1 to 11 letters, digits, dots, spaces or hyphens, one letter at least.
    A provider may want it registered, or refuse the dot."""
    routes: tuple[SmsRoute, ...] = ()
    """The first that works is used. None: the modem of the section `modem`, if there is one."""
    overtake_s: Seconds = 4.0
    """A provider that has not answered for so long is left to itself and the next route is tried."""
    modem_overtake_s: Seconds = 8.0
    """The same for a modem, which takes some seconds even when all is well."""
    report_within_s: Annotated[float, Meta(ge=0)] = 40.0
    """A code of which a route that sends delivery reports has told nothing for so long goes out once more, by another
    route; 0: never."""
    tally_file: str = "/var/lib/avisiod/sms-today"
    """Counts the day's messages, so that limits and costs outlive a restart."""
    reports_address: str = ""
    """Loopback address where delivery reports are taken, for a proxy in front of it; empty: none are taken."""
    reports_port: Port = 8446
    """TCP port."""
    reports_url: str = ""
    """How providers reach that, such as https://visio.example.org/sms-reports."""
