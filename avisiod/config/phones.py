"""The settings of phones as devices: how their health is watched, how they get their settings and their firmware."""

from typing import Annotated, Literal

from msgspec import Meta

from avisiod.config.section import Port, Seconds, Section

Clock = Annotated[str, Meta(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]
"""A time of the site's day."""


class Health(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the health of phones is watched."""

    edge_control: str = "/run/avisiod-edge/edge-rpc.sock"
    """Kamailio's socket for orders; through it the edge learns that questions to phones come from us."""
    ask_every_s: Annotated[float, Meta(ge=0)] = 300.0
    """Each registered phone is asked so often whether it is there (OPTIONS); 0: registrations alone tell."""
    misses: Annotated[int, Meta(ge=1)] = 3
    """Questions in a row without an answer until a phone counts as silent."""
    absent_s: Seconds = 120.0
    """A phone whose registration is gone for this long counts as unregistered."""
    boots: Annotated[int, Meta(ge=2)] = 3
    """Starts within a quarter of an hour until a phone counts as rebooting in a loop."""
    events_days: Annotated[int, Meta(ge=1)] = 90
    """What phones said is kept so many days."""
    self_test_begins: Clock = "02:30"
    """From then on, phones whose device says so are called once a night to see whether they answer by themselves."""
    self_test_ends: Clock = "04:30"
    """No test begins after this."""


class Provisioning(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The HTTPS server from which phones fetch their settings and firmware, and at which they report events."""

    address: str = ""
    """This machine's address on the prison LAN, never one that the outside can reach; empty: no such server."""
    port: Port = 8444
    """TCP port."""
    public_url: str = ""
    """What phones are told, such as https://192.0.2.1:8444; empty: made of address and port."""
    certificate_file: str = ""
    """PEM, the server's certificate first, then the chain; phones must trust it."""
    key_file: str = ""
    """PEM, the certificate's key, readable by the daemon's user only."""
    authentication: Literal["token", "certificate", "either"] = "token"
    """What a phone shows: a one-time token in its address, a certificate of its own with its MAC in it, or either."""
    client_ca_file: str = ""
    """PEM, the authorities of the vendors' certificates in phones; needed for `certificate` and `either`."""
    master_key_file: str = "/var/lib/avisiod/phones.key"
    """The secret of which phones' passwords are made; made at first start, mode 0600. Lost: all phones fetch anew."""
    token_valid_s: Seconds = 86400.0
    """A one-time token opens for so long."""
    registrar: str = ""
    """Where phones register: host or host:port of the edge on the prison LAN; empty: `address`."""
    transport: Literal["udp", "tcp", "tls"] = "tls"
    """How phones speak SIP; with `tls` keys of SRTP are safe."""
    ntp_server: str = ""
    """Where phones get the time; empty: `address`."""
    templates_folder: str = ""
    """The site's own templates, by the names of ours; they replace ours one by one."""
    events_folder: str = ""
    """The site's own mappings of vendors' events, VENDOR.yaml; they replace ours one by one."""
    requests_per_minute: Annotated[int, Meta(ge=1)] = 120
    """Of one address; more are turned away."""

    @property
    def url(self) -> str:
        """Where phones find it; empty where it is not served."""
        if not self.address:
            return ""
        host = f"[{self.address}]" if ":" in self.address else self.address
        return (self.public_url or f"https://{host}:{self.port}").rstrip("/")


class Firmware(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Firmware of phones: files that were checked, and how they get out."""

    folder: str = "/var/lib/avisiod/firmware"
    """Where checked files lie; made at first use."""
    public_keys: tuple[str, ...] = ()
    """Who may sign: public keys of minisign, each the second line of its .pub file."""
    back_within_s: Seconds = 1800.0
    """A phone that was told to update is back with the new version within this time, or the roll-out stops."""
    failures: Annotated[int, Meta(ge=0)] = 0
    """So many phones of a stage may fail before a roll-out stops."""
