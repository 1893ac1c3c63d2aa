"""How a phone is: what was seen of it, and with which patience a state is believed. Pure; time comes in.

Nothing is concluded from a single sight. A phone is *unregistered* only after it was absent for a while, and up
again only after it stayed; *silent* after several questions without an answer. Where several hold, the gravest one
is shown.
"""

import enum

import msgspec


class PhoneState(enum.StrEnum):
    """What is shown of a phone, the gravest first but for the last two."""

    TAMPERED = "tampered"
    """Its case was opened; holds until staff have looked."""
    REBOOTING = "rebooting"
    """It starts again and again."""
    UNREGISTERED = "unregistered"
    """Seen before, but not registered."""
    SILENT = "silent"
    """Registered, but it does not answer."""
    WRONG_FIRMWARE = "wrong_firmware"
    """It runs another version than it should."""
    UP = "up"
    NEVER_SEEN = "never_seen"


GRAVEST_FIRST = (
    PhoneState.TAMPERED,
    PhoneState.REBOOTING,
    PhoneState.UNREGISTERED,
    PhoneState.SILENT,
    PhoneState.WRONG_FIRMWARE,
)


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How much must be seen before a state is believed. Times in seconds."""

    absent_s: float = 120.0
    """Not registered for so long: unregistered. A phone that starts takes about a minute."""
    settled_s: float = 60.0
    """Registered again for so long: no longer unregistered."""
    misses: int = 3
    """Questions in a row without an answer: silent."""
    answers: int = 2
    """Answers in a row: no longer silent."""
    boots: int = 3
    """Starts within `boots_within_s`: rebooting."""
    boots_within_s: float = 900.0
    calm_s: float = 1800.0
    """Without a start for so long: no longer rebooting."""
    one_boot_s: float = 60.0
    """Signs of a start within this time belong to one start."""
    firmware_s: float = 600.0
    """Another version than wanted for so long: wrong firmware. An update takes minutes."""


# What is seen.


class Registered(msgspec.Struct, frozen=True):
    """The edge knows where it is. A new `dialogue` (Call-ID, RFC 3261 section 10.2) tells that it started anew."""

    dialogue: str = ""
    firmware: str = ""
    """As its User-Agent tells; empty where it does not."""


class Absent(msgspec.Struct, frozen=True):
    """The edge knows of no registration."""


class Answered(msgspec.Struct, frozen=True):
    """It answered a question (OPTIONS, a test call)."""


class Missed(msgspec.Struct, frozen=True):
    """It did not."""


class Booted(msgspec.Struct, frozen=True):
    """It said that it started."""


class CaseOpened(msgspec.Struct, frozen=True):
    """It said that somebody opens it."""


class Cleared(msgspec.Struct, frozen=True):
    """Staff have looked at it."""


class Wanted(msgspec.Struct, frozen=True):
    """Which version it should run; empty: any."""

    firmware: str


class Passed(msgspec.Struct, frozen=True):
    """Nothing but time."""


Fact = Registered | Absent | Answered | Missed | Booted | CaseOpened | Cleared | Wanted | Passed


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """All that is known of one phone. Times are monotonic seconds."""

    seen: bool = False
    registered: bool = False
    turned_at: float = 0.0
    """Since when `registered` is what it is."""
    holds: frozenset[PhoneState] = frozenset()
    """What is believed of it now."""
    misses: int = 0
    answers: int = 0
    boots: tuple[float, ...] = ()
    boot_at: float | None = None
    """The latest sign of a start."""
    dialogue: str = ""
    firmware: str = ""
    wanted: str = ""
    wrong_at: float | None = None
    """Since when it runs another version than wanted."""

    @property
    def state(self) -> PhoneState:
        """What is shown."""
        for state in GRAVEST_FIRST:
            if state in self.holds:
                return state
        return PhoneState.UP if self.seen else PhoneState.NEVER_SEEN


def remembered(state: PhoneState, *, firmware: str, tampered: bool, now: float) -> Health:
    """A phone as it was known before a restart: what was believed holds, every patience begins anew."""
    holds = {state} & set(GRAVEST_FIRST)
    if tampered:
        holds.add(PhoneState.TAMPERED)
    return Health(
        seen=state is not PhoneState.NEVER_SEEN,
        registered=state not in (PhoneState.NEVER_SEEN, PhoneState.UNREGISTERED),
        turned_at=now,
        holds=frozenset(holds),
        boots=(now,) if state is PhoneState.REBOOTING else (),
        firmware=firmware,
    )


def observed(health: Health, fact: Fact, patience: Patience, now: float) -> Health:
    """What is known after this was seen. Any fact may come in any order."""
    match fact:
        case Registered():
            health = _registered(health, fact, patience, now)
        case Absent():
            if health.registered:
                health = msgspec.structs.replace(health, registered=False, turned_at=now, misses=0, answers=0)
        case Answered():
            health = msgspec.structs.replace(health, seen=True, misses=0, answers=health.answers + 1)
        case Missed():
            health = msgspec.structs.replace(health, misses=health.misses + 1, answers=0)
        case Booted():
            health = _booted(msgspec.structs.replace(health, seen=True), patience, now)
        case CaseOpened():
            health = _with(msgspec.structs.replace(health, seen=True), PhoneState.TAMPERED, holds=True)
        case Cleared():
            health = _with(health, PhoneState.TAMPERED, holds=False)
        case Wanted():
            health = msgspec.structs.replace(health, wanted=fact.firmware)
        case Passed():
            pass
    return _settled(health, patience, now)


def _registered(health: Health, fact: Registered, patience: Patience, now: float) -> Health:
    anew = bool(fact.dialogue and health.dialogue and fact.dialogue != health.dialogue)
    first = not health.registered
    health = msgspec.structs.replace(
        health,
        seen=True,
        registered=True,
        turned_at=now if first else health.turned_at,
        dialogue=fact.dialogue or health.dialogue,
        firmware=fact.firmware or health.firmware,
    )
    return _booted(health, patience, now) if anew else health


def _booted(health: Health, patience: Patience, now: float) -> Health:
    if health.boot_at is not None and now - health.boot_at < patience.one_boot_s:
        return health
    boots = (*(at for at in health.boots if now - at < patience.boots_within_s), now)
    return msgspec.structs.replace(health, boots=boots[-patience.boots :], boot_at=now)


def _settled(health: Health, patience: Patience, now: float) -> Health:
    since = now - health.turned_at
    unregistered = PhoneState.UNREGISTERED in health.holds
    if health.registered:
        unregistered = unregistered and since < patience.settled_s
    else:
        unregistered = unregistered or (health.seen and since >= patience.absent_s)
    silent = PhoneState.SILENT in health.holds
    silent = health.registered and (health.answers < patience.answers if silent else health.misses >= patience.misses)
    rebooting = PhoneState.REBOOTING in health.holds
    latest = health.boots[-1] if health.boots else None
    if rebooting:
        rebooting = latest is not None and now - latest < patience.calm_s
    elif len(health.boots) >= patience.boots:
        rebooting = now - health.boots[0] < patience.boots_within_s
    wrong = bool(health.wanted and health.firmware and health.firmware != health.wanted)
    wrong_at = (now if health.wrong_at is None else health.wrong_at) if wrong else None
    stays_wrong = PhoneState.WRONG_FIRMWARE in health.holds
    wrong = wrong_at is not None and (stays_wrong or now - wrong_at >= patience.firmware_s)
    health = msgspec.structs.replace(health, wrong_at=wrong_at)
    for state, holds in (
        (PhoneState.UNREGISTERED, unregistered),
        (PhoneState.SILENT, silent),
        (PhoneState.REBOOTING, rebooting),
        (PhoneState.WRONG_FIRMWARE, wrong),
    ):
        health = _with(health, state, holds=holds)
    return health


def _with(health: Health, state: PhoneState, *, holds: bool) -> Health:
    if holds == (state in health.holds):
        return health
    return msgspec.structs.replace(health, holds=health.holds | {state} if holds else health.holds - {state})
