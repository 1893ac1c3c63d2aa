"""What a reload of the settings changes at once and what waits for a restart. Pure: two settings in, one out."""

import dataclasses
from typing import Any

import msgspec

from avisiod.config.settings import Config

AT_RELOAD = frozenset(
    {
        "site.name",
        "site.admission",
        "site.region",
        "calls.limit_s",
        "calls.warnings_s",
        "calls.code_valid_s",
        "calls.grace_s",
        "calls.join_timeout_s",
        "calls.shortest_s",
        "calls.unpaid_ends",
        "calls.drain_s",
        "calls.capacity",
        "media.ice_servers",
        "media.phone_silent_s",
        "media.phone_muted_s",
        "media.outside_silent_s",
        "media.behind_nat",
        "media.worker_memory_mib",
        "media.prompts_folder",
        "phones.audio_codecs",
        "phones.encryption",
        "phones.keys_need_tls",
        "recordings.keep_free_bytes",
        "recordings.keep_days",
        "portal.charter_folder",
        "portal.name",
        "portal.controller",
        "portal.dpo_contact",
        "portal.legal_basis",
        "portal.publisher",
        "portal.host",
        "portal.help_contact",
        "portal.log_retention_months",
        "modem.texts_folder",
        "store.audit_days",
        "store.inventory_file",
        "hooks.silent",
        "log.level",
    }
)
"""Keys that take effect upon SIGHUP, from the next call on. Every other one is read at start only: it names an
address, a port, a process or a file that is held open."""


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """What becomes of a new file."""

    config: Config
    """To be used from now on: of the new file what can be taken up, of the old one the rest."""
    taken: tuple[str, ...]
    """Keys with a new value that is in use now."""
    later: tuple[str, ...]
    """Keys with a new value that is not, until the service is started anew."""


def change(old: Config, new: Config) -> Change:
    """Compare; `old` is what is in use, `new` a file that was found good."""
    sections: dict[str, Any] = {}
    taken: list[str] = []
    later: list[str] = []
    for section in msgspec.structs.fields(Config):
        before, after = getattr(old, section.name), getattr(new, section.name)
        values: dict[str, Any] = {}
        for field in msgspec.structs.fields(after):
            name, value = f"{section.name}.{field.name}", getattr(after, field.name)
            if value == getattr(before, field.name):
                continue
            if name in AT_RELOAD:
                values[field.name] = value
                taken.append(name)
            else:
                later.append(name)
        sections[section.name] = msgspec.structs.replace(before, **values)
    return Change(Config(**sections), tuple(taken), tuple(later))


def processes_short(before: Config, after: Config) -> bool:
    """Whether more SIP workers would run after a restart: a capacity that was raised is reached only then."""
    return after.sip_workers > before.sip_workers
