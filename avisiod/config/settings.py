"""The settings of /etc/avisiod/avisiod.yaml: one class a section, every key with its unit and default."""

import os
from typing import Annotated, Literal

from msgspec import Meta

from avisiod.config.board import Boards
from avisiod.config.hooks import Hooks
from avisiod.config.phones import Firmware, Health, Provisioning
from avisiod.config.section import Port, PortRange, Seconds, Section
from avisiod.config.sms import Modem, Sms

AUDIO_CODECS = ("OPUS", "G722", "PCMA", "PCMU")
"""What every browser takes and phones speak."""


class Site(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The establishment."""

    name: str = "Établissement"
    """As pages and prompts name it."""
    language: str = "fr"
    """Language of prompts and of pages whose reader has not chosen one."""
    time_zone: str = "Europe/Paris"
    """Name of the IANA time zone database, for every time that a person reads."""
    admission: Literal["listed", "full"] = "full"
    """`full`: detainees, authorisations, hours, quotas and prices decide. `listed`: the inventory alone does: every
    contact at any hour, free, from the phones listed for it; for trying an installation out."""
    region: str = "FR"
    """Country (ISO 3166) whose way of dialling is understood when a number has no country code."""


class Calls(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The rules of a call's time."""

    limit_s: Seconds = 1200.0
    """Longest time connected; counted from the moment media first flows both ways."""
    warnings_s: tuple[float, ...] = (120.0, 30.0)
    """Warn both parties when this much is left, longest first."""
    code_valid_s: Seconds = 300.0
    """A code lives this long from the moment the SMS was accepted."""
    grace_s: Seconds = 60.0
    """A relative who lost the connection may come back within this time, and has `join_timeout_s` then to connect."""
    join_timeout_s: Seconds = 30.0
    """ICE, DTLS and first media take at most this long, else the call waits again."""
    shortest_s: Seconds = 60.0
    """A call that hours, a quota or the balance would make shorter than this is refused."""
    unpaid_ends: tuple[str, ...] = ()
    """Calls that end so cost nothing and use up no quota, as those that failed by us: some of staff_ended,
    relative_lost, relative_hung_up, detainee_hung_up, limit_reached."""
    drain_s: Annotated[float, Meta(ge=0)] = 120.0
    """Calls under way may go on for so long once the service is told to stop; both parties hear it, new calls are
    refused. A second SIGTERM, or 0, ends them at once."""
    capacity: Annotated[int, Meta(ge=1)] = 20
    """Calls at once; a further one hears that all lines are busy."""


class Sip(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The SIP workers; phones never reach them, only the edge does."""

    address: str = "127.0.0.1"
    """Address bound; best a loopback one."""
    port: Port = 5062
    """UDP port of the first worker; the others take the next ones. The edge learns them at its start."""
    workers: Annotated[int, Meta(ge=0, le=30)] = 0
    """Processes; 0 means enough for `calls.capacity` and one to spare."""
    dialogues_per_worker: Annotated[int, Meta(ge=1)] = 4
    """Dialogues of one worker at once. 4 is what the pjsua2 wheel was built for: more takes a wheel of your own."""
    beside: tuple[str, ...] = ()
    """SIP workers of other boxes to which this machine's edge spreads calls too, `192.0.2.12:5062-5067` for each box;
    their settings name this edge in `sip.edge`."""
    edge: tuple[str, ...] = ("127.0.0.1:5059",)
    """Where INVITE is accepted from: Kamailio's address with the port of its inner socket, which no other program can
    use while Kamailio runs; without a port every program on that address is believed."""
    realm: str = "avisio"
    """Realm of the phones' digest (RFC 7616), the same as in the edge's settings; HA1 values are bound to it."""
    edge_database: str = "/var/lib/avisiod/edge.db"
    """Where the edge keeps registrations; read only."""
    edge_certificate_file: str = ""
    """PEM, the edge's certificate towards phones, as in kamailio/tls.cfg: when it is renewed, the edge is told to
    take it up. Empty: nobody looks."""
    edge_key_file: str = ""
    """PEM, its key."""
    session_expires_s: Annotated[int, Meta(ge=90)] = 1800
    """Session timer (RFC 4028); we refresh ourselves."""


class IceServer(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A STUN or TURN server given to browsers and used by our own gathering."""

    urls: tuple[str, ...]
    """As in RFC 7064 and RFC 7065: `stun:host:port`, `turn:host:port?transport=tcp`, `turns:…`."""
    secret_file: str = ""
    """coturn's static-auth-secret: time-limited credentials are made of it; empty for STUN."""


class Media(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The media workers."""

    workers: Annotated[int, Meta(ge=0)] = 0
    """Processes; 0 means one per core."""
    phone_address: str = "127.0.0.1"
    """Address on the prison LAN, bound and announced to phones."""
    phone_ports: PortRange = (30000, 30999)
    """First and last UDP port towards phones, both included; a call takes 4: RTP and RTCP of sound and picture."""
    outside_address: str = "127.0.0.1"
    """Address bound for browsers, and told to them."""
    outside_address_ipv6: str = ""
    """An IPv6 address besides, where outside_address is IPv4: each page takes what works for it. Empty: none."""
    outside_announced: str = ""
    """Public address announced to browsers where a 1:1 NAT stands before us; empty: outside_address."""
    outside_ports: PortRange = (31000, 31999)
    """First and last UDP port towards browsers, both included; a call takes 1, for moments 2."""
    ice_servers: tuple[IceServer, ...] = ()
    """STUN and TURN servers, in order of preference."""
    turn_certificate_file: str = ""
    """PEM, the TURN server's certificate where it is on this machine: its end is watched. Empty: nobody looks."""
    transcoded_calls: Annotated[int, Meta(ge=0, le=64)] = 2
    """Calls at once whose pictures may be converted, for browsers without H.264; each has a process, and takes up to
    half a core. A further one has sound only. 0: none."""
    phone_silent_s: Seconds = 30.0
    """A phone without RTP and RTCP for this long is lost, where it has sent RTCP before."""
    phone_muted_s: Seconds = 120.0
    """The same for a phone that never sends RTCP: when it stops to send RTP it may merely be muted."""
    outside_silent_s: Seconds = 6.0
    """A browser without RTP, RTCP and ICE consent for this long is interrupted."""
    behind_nat: bool = False
    """Phones stand behind NAT: lock to the first valid source instead of the address in their SDP."""
    cpus: tuple[Annotated[int, Meta(ge=0)], ...] = ()
    """Processors that media workers run on, by their numbers; empty: all."""
    nice: Annotated[int, Meta(ge=-10, le=19)] = -5
    """Niceness of media workers: below 0 they come before the rest of the box, which is never starved by them."""
    worker_memory_mib: Annotated[int, Meta(ge=0)] = 2048
    """A SIP or media worker with more MiB of memory gets no new call and is replaced after its last; 0: no limit."""
    prompts_folder: str = ""
    """The site's own WAV files, LANGUAGE/NAME.wav; they replace ours one by one."""


class Phones(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is agreed with phones."""

    audio_codecs: tuple[str, ...] = AUDIO_CODECS
    """Sound, the best first. The first that a phone offers is taken on both legs: nothing is transcoded."""
    encryption: str = "optional"
    """SRTP with keys in SDP (RFC 4568): `never`, `optional` as the phone offers, or `required`."""
    keys_need_tls: bool = True
    """Take and tell keys over SIP with TLS only: whoever reads them on the network could decrypt the call."""


class Recordings(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Recordings on local disk."""

    folder: str = "/var/lib/avisiod/recordings"
    """Where the files go; made at first start."""
    keep_free_bytes: Annotated[int, Meta(ge=0)] = 2_000_000_000
    """Calls are refused, and running ones ended, when less is free."""
    keep_days: Annotated[int, Meta(ge=1, le=36500)] = 90
    """So many days after its call a recording is destroyed, by `avisioctl recordings purge`, which
    avisiod-retention.timer runs; one that is under hold stays."""
    record_file: str = "/var/lib/avisiod/retention.json"
    """What became of the last such run, for the metrics; on a local disk."""


class Portal(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The web pages of the relatives."""

    address: str = "127.0.0.1"
    """Address bound for the pages; `::` is every one of this machine, IPv4 and IPv6."""
    address_ipv6: str = ""
    """An IPv6 address for the pages besides, where address is IPv4; empty: none."""
    port: Port = 8443
    """TCP port of the pages."""
    public_url: str = "https://localhost:8443"
    """What relatives type; its host goes into the SMS."""
    certificate_file: str = ""
    """PEM, the server's certificate first, then the chain; empty: plain HTTP, for a proxy on this machine only."""
    key_file: str = ""
    """PEM, the certificate's key, readable by the daemon's user only."""
    http_port: Port = 0
    """TCP port of plain HTTP, best 80: leads to the https address, and answers a certificate authority. 0: none."""
    acme_folder: str = ""
    """Where an ACME client puts its challenges (`--webroot-path` of certbot), served on `http_port`; empty: none."""
    trusted_proxies: tuple[str, ...] = ()
    """X-Forwarded-For is believed from these addresses only."""
    charter_folder: str = ""
    """The site's own charters, LANGUAGE.md; empty: ours."""
    name: str = "Avisio"
    """The service's name, as relatives know it."""
    controller: str = ""
    """Who answers for the personal data: name and address, shown in the privacy notice."""
    dpo_contact: str = ""
    """How to reach the data protection officer."""
    legal_basis: str = ""
    """On which basis personal data is processed, as the privacy notice states it."""
    publisher: str = ""
    """Publisher and director of publication, shown in the legal mentions."""
    host: str = ""
    """Who hosts the service, shown in the legal mentions."""
    help_contact: str = ""
    """Where a relative finds help: a telephone number or an e-mail address."""
    log_retention_months: Annotated[int, Meta(ge=1)] = 12
    """How long technical logs are kept, as the privacy notice states it."""


class Store(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is kept."""

    path: str = "/var/lib/avisiod/avisiod.db"
    """The database, on a local disk; not used where `url` names another."""
    url: str = ""
    """A PostgreSQL database for several boxes, such as postgresql:///avisiod?host=/run/postgresql; empty: `path`."""
    url_file: str = ""
    """A file with that address, where it has a password in it; it counts before `url`."""
    box: str = ""
    """This box's name among those that share `url`, which must not change while calls are open; empty: the host's."""
    lease_s: Annotated[float, Meta(ge=10)] = 30.0
    """A box that shares `url` and said nothing for so long is gone: another one ends its calls."""
    audit_days: Annotated[int, Meta(ge=1)] = 1096
    """The audit trail's lines are kept so many days; the daemon deletes what is older, once a day."""
    inventory_file: str = "/etc/avisiod/inventory.yaml"
    """Phones and contacts."""
    code_key_file: str = "/var/lib/avisiod/code.key"
    """Key of the codes' hashes; made at first start, mode 0600."""


class Backup(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Backups of the whole box, by `avisioctl backup`, which avisiod-backup.timer runs."""

    recipients: tuple[str, ...] = ()
    """Public keys of age (`age1…`) or SSH, for each of whom every backup is sealed; the secret keys are kept
    elsewhere. Empty: no backup is made."""
    folder: str = "/var/lib/avisiod/backups"
    """Where they go; best the mounted folder of another machine."""
    with_keys: bool = False
    """Keys and secrets go into the backups too: whoever opens one can then be the portal, and the box."""
    keep_daily: Annotated[int, Meta(ge=1)] = 7
    """Days of which the last backup is kept."""
    keep_weekly: Annotated[int, Meta(ge=0)] = 5
    """Weeks of which the last backup is kept."""
    record_file: str = "/var/lib/avisiod/backup.json"
    """What became of the last one, for the metrics; on a local disk."""


class Metrics(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Prometheus and /health."""

    address: str = "127.0.0.1"
    """Address bound for both."""
    port: Port = 9464
    """TCP port."""
    certificate_file: str = ""
    """PEM, the certificate first, then its chain; empty: plain HTTP. A renewed file is taken up by itself."""
    key_file: str = ""
    """PEM, the certificate's key, readable by the daemon's user only."""
    user: str = ""
    """Whoever asks must show this name and the password (HTTP Basic); empty: everybody may ask."""
    password_hash_file: str = ""
    """The password's hash, as `avisiod --hash-password` prints it; readable by the daemon's user only."""


class Admin(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where avisioctl reaches the daemon."""

    socket_file: str = "/run/avisiod/control.sock"
    """A Unix socket; its folder must be there."""
    group: str = ""
    """Members of this group may use it; empty: root and the daemon's user only. They may do all that avisioctl can
    until somebody is designated (`avisioctl staff add`); from then on each may do what their roles say."""
    designation_days: Annotated[int, Meta(ge=0)] = 366
    """Roles that watch or interrupt are given for so many days at most, renewable; 0: without end."""


class Log(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Logging to the journal, or to standard error where there is none."""

    level: str = "INFO"
    """The least that is written: DEBUG, INFO, WARNING, ERROR."""


class Config(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole file."""

    site: Site = Site()
    calls: Calls = Calls()
    sip: Sip = Sip()
    media: Media = Media()
    phones: Phones = Phones()
    health: Health = Health()
    provisioning: Provisioning = Provisioning()
    firmware: Firmware = Firmware()
    recordings: Recordings = Recordings()
    portal: Portal = Portal()
    modem: Modem = Modem()
    sms: Sms = Sms()
    boards: Boards = Boards()
    hooks: Hooks = Hooks()
    store: Store = Store()
    backup: Backup = Backup()
    metrics: Metrics = Metrics()
    admin: Admin = Admin()
    log: Log = Log()

    @property
    def sip_workers(self) -> int:
        """How many SIP workers run: the port of worker n is `sip.port` + n.

        The spare one takes the calls that only hear that all lines are busy, and those of one that is restarted.
        """
        return self.sip.workers or -(-self.calls.capacity // self.sip.dialogues_per_worker) + 1

    @property
    def media_workers(self) -> int:
        """How many media workers run: one for each core unless the settings say otherwise."""
        return self.media.workers or os.cpu_count() or 1
