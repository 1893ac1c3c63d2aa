"""Who may call whom, now, for how long and at what price: one pure function from facts to granted or refused."""

import dataclasses
import datetime
import enum
from typing import Literal, NoReturn

from avisiod.calls import quotas
from avisiod.calls.again import TimeRules, next_time
from avisiod.calls.dossier import Dossier
from avisiod.calls.people import ORDINARY, Callee, ContactClass, Detainee, Exemption, Line
from avisiod.calls.reasons import EndReason
from avisiod.calls.schedule import ScheduleException, extra_at, opening
from avisiod.calls.tariff import Tariff, affordable_s, price_of, tariff_for

Mode = Literal["listed", "full"]


class Limit(enum.StrEnum):
    """What makes a call shorter than its allowance."""

    HOURS = "hours"
    QUOTA = "quota"
    BALANCE = "balance"
    AUTHORISATION = "authorisation"


_TOO_SHORT = {
    Limit.HOURS: EndReason.OUTSIDE_HOURS,
    Limit.QUOTA: EndReason.QUOTA_REACHED,
    Limit.BALANCE: EndReason.BALANCE_TOO_LOW,
    Limit.AUTHORISATION: EndReason.AUTHORISATION_ENDED,
}


_FOR_NOW = frozenset({EndReason.OUTSIDE_HOURS, EndReason.CLOSED, EndReason.QUOTA_REACHED, EndReason.PAUSE_WANTED})
"""Refusals that time alone ends."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that the decision rests on."""

    mode: Mode = "full"
    """`listed`: every listed contact at any hour, by the phones that are listed for it, free."""
    at_utc: datetime.datetime
    zone: datetime.tzinfo
    """The site's."""
    dossier: Dossier
    number_valid: bool
    phone_busy: bool
    contact_busy: bool
    detainee_busy: bool
    open_calls: int
    capacity: int
    disk_free_enough: bool
    media_ready: bool
    draining: bool
    limit_s: float
    """Longest call where no allowance sets another."""
    shortest_s: float
    """A call that something shortens below this is refused."""


@dataclasses.dataclass(frozen=True, slots=True)
class Reasoning:
    """One fact that was looked at; `refuses` is what it led to."""

    about: str
    found: str
    refuses: EndReason | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """The call may be made."""

    limit_s: float
    confidential: bool
    cls: ContactClass = ORDINARY
    tariff: Tariff | None = None
    """None: free."""
    unpriced: bool = False
    """It is free only because no tariff is set for its class at this time: staff should know."""
    hold_cents: int = 0
    """What the longest time costs."""
    shortened_by: Limit | None = None
    not_after_utc: datetime.datetime | None = None
    """It ends then at the latest, however late the relative joins."""
    not_after_by: Limit | None = None
    extra: str | None = None
    """The granted extra call that this one is."""
    because: tuple[Reasoning, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The call may not be made. `NOT_IDENTIFIED`: this phone is shared, ask who is calling, then decide again."""

    reason: EndReason
    again_utc: datetime.datetime | None = None
    """When it may be made, where only the time is in the way; None where that is not known, or far away."""
    because: tuple[Reasoning, ...] = ()


def decide(facts: Facts) -> Granted | Refused:
    """Granted, or the first reason against it; `because` lists every fact in the order it was looked at."""
    case = _Case(facts)
    try:
        line = case.service()
        return case.listed(line) if facts.mode == "listed" else case.full(line)
    except _No as no:
        return Refused(reason=no.reason, again_utc=case.again(no.reason), because=tuple(case.because))


class _No(Exception):
    def __init__(self, reason: EndReason) -> None:
        super().__init__(reason.value)
        self.reason = reason


class _Case:
    """One decision under way."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.dossier = facts.dossier
        self.local = facts.at_utc.astimezone(facts.zone)
        self.because: list[Reasoning] = []
        self.asks: tuple[Detainee, ContactClass, datetime.datetime | None] | None = None
        """Who calls whom, and when the authorisation ends, once only time and money are left to be looked at."""

    def note(self, about: str, found: str) -> None:
        self.because.append(Reasoning(about, found))

    def refuse(self, reason: EndReason, about: str, found: str) -> NoReturn:
        self.because.append(Reasoning(about, found, reason))
        raise _No(reason)

    def service(self) -> Line:
        """What the box itself has to say."""
        facts = self.facts
        line = self.dossier.line
        if line is None:
            self.refuse(EndReason.UNKNOWN_PHONE, "phone", "is not listed")
        self.note("phone", f"{line.id} is listed")
        if facts.phone_busy:
            self.refuse(EndReason.PHONE_BUSY, "phone", "is in a call")
        if facts.draining:
            self.refuse(EndReason.SERVICE_STOPPING, "service", "is being stopped")
        if not facts.media_ready:
            self.refuse(EndReason.NO_CAPACITY, "service", "has no media worker")
        if facts.open_calls >= facts.capacity:
            self.refuse(EndReason.NO_CAPACITY, "service", f"{facts.open_calls} calls of {facts.capacity}")
        self.note("service", f"takes calls: {facts.open_calls} of {facts.capacity}")
        if not facts.number_valid:
            self.refuse(EndReason.NOT_A_NUMBER, "number", "is no telephone number")
        self.note("number", "is a telephone number")
        return line

    def contact(self, line: Line) -> Callee:
        callee = self.dossier.callee
        if callee is None:
            self.refuse(EndReason.UNKNOWN_NUMBER, "contact", "nobody is listed with this number")
        if callee.phones and line.id not in callee.phones:
            self.refuse(EndReason.UNKNOWN_NUMBER, "contact", f"{callee.id} may not be called by this phone")
        self.note("contact", f"{callee.id}, class {callee.cls}")
        return callee

    def room(self, *, confidential: bool) -> None:
        """One call at a time for the contact, and room for its recording; a confidential line needs none."""
        if self.facts.contact_busy or self.dossier.contact_elsewhere:
            self.refuse(EndReason.CONTACT_BUSY, "contact", "is in a call")
        if confidential:
            self.note("recording", "none: the line is confidential")
        elif not self.facts.disk_free_enough:
            self.refuse(EndReason.DISK_FULL, "recording", "there is no room on the disk")
        else:
            self.note("recording", "yes, there is room on the disk")

    def listed(self, line: Line) -> Granted:
        """Today's list is all there is."""
        callee = self.contact(line)
        cls = self.class_of(callee)
        confidential = callee.confidential or cls.confidential
        self.room(confidential=confidential)
        return Granted(limit_s=self.facts.limit_s, confidential=confidential, cls=cls, because=tuple(self.because))

    def class_of(self, callee: Callee) -> ContactClass:
        """The class for this detainee. One that is not kept is treated as safely as can be: protected, not exempt."""
        given = self.dossier.authorisation
        name = given.cls if given is not None and given.state == "granted" and given.cls else callee.cls
        cls = self.dossier.classes.get(name) or ContactClass(id=name, confidential=True)
        exempt = f", exempt from {', '.join(sorted(cls.exempt))}" if cls.exempt else ""
        self.note("class", f"{cls.id}{', confidential' if cls.confidential else ''}{exempt}")
        return cls

    def full(self, line: Line) -> Granted:
        """All of the site's rules."""
        detainee = self.who(line)
        callee = self.contact(line)
        cls = self.class_of(callee)
        confidential = callee.confidential or cls.confidential
        valid_to = self.authorised(detainee, cls)
        self.room(confidential=confidential)
        self.asks = detainee, cls, valid_to
        extra = extra_at(self.dossier.exceptions, detainee.scopes, self.local)
        before = len(self.because)
        try:
            granted = self.time_and_money(detainee, cls, valid_to, None)
        except _No:
            if extra is None:
                raise
            granted = None
        if extra is not None and (granted is None or granted.shortened_by in (Limit.HOURS, Limit.QUOTA)):
            plain = self.because[before:]
            del self.because[before:]
            self.note("extra call", f"exception {extra.id} grants one call")
            try:
                longer = self.time_and_money(detainee, cls, valid_to, extra)
            except _No:
                if granted is None:
                    raise
                longer = granted
            if granted is None or longer.limit_s > granted.limit_s:
                granted = longer
            else:
                self.because[before:] = plain
        assert granted is not None  # noqa: S101 - refused without an extra call was raised above
        return dataclasses.replace(granted, confidential=confidential, because=tuple(self.because))

    def who(self, line: Line) -> Detainee:
        detainee = self.dossier.detainee
        if detainee is None and line.shared:
            self.refuse(EndReason.NOT_IDENTIFIED, "detainee", "this phone is shared: who calls must say so")
        if detainee is None:
            self.refuse(EndReason.DETAINEE_UNKNOWN, "detainee", "this phone has no occupant")
        how = "identified" if line.shared else "the occupant"
        self.note("detainee", f"{detainee.id}, {how}, regime {detainee.regime}, {detainee.status}")
        if self.facts.detainee_busy or self.dossier.detainee_elsewhere:
            self.refuse(EndReason.DETAINEE_BUSY, "detainee", "is in a call on another phone")
        return detainee

    def exempt(self, cls: ContactClass, what: Exemption) -> bool:
        if what in cls.exempt:
            self.note(what, f"class {cls.id} is exempt")
            return True
        return False

    def authorised(self, detainee: Detainee, cls: ContactClass) -> datetime.datetime | None:
        """When the authorisation ends, if it does."""
        if self.exempt(cls, "authorisation"):
            return None
        if detainee.suspended:
            self.refuse(EndReason.DETAINEE_SUSPENDED, "detainee", "may not call for now")
        given, wanted = self.dossier.authorisation, self.dossier.authorities.get(detainee.status)
        if given is None:
            self.refuse(EndReason.NOT_AUTHORISED, "authorisation", "none for this contact")
        if given.state != "granted":
            self.refuse(EndReason.NOT_AUTHORISED, "authorisation", f"is {given.state}")
        if given.authority != wanted:
            found = f"is of the {given.authority}; {detainee.status} needs the {wanted or 'authority that none is'}"
            self.refuse(EndReason.NOT_AUTHORISED, "authorisation", found)
        if given.ends_on is None:
            self.note("authorisation", f"granted by the {given.authority}, without end")
            return None
        if given.ends_on < self.local.date():
            self.refuse(EndReason.AUTHORISATION_ENDED, "authorisation", f"ended on {given.ends_on}")
        self.note("authorisation", f"granted by the {given.authority} until {given.ends_on}")
        midnight = datetime.datetime.combine(given.ends_on, datetime.time()) + datetime.timedelta(days=1)
        return midnight.replace(tzinfo=self.facts.zone).astimezone(datetime.UTC)

    def time_and_money(
        self,
        detainee: Detainee,
        cls: ContactClass,
        valid_to: datetime.datetime | None,
        extra: ScheduleException | None,
    ) -> Granted:
        """How long, and at what price; without the extra call where none is given."""
        hours_end = None if self.exempt(cls, "schedule") else self.hours(detainee, extra)
        left = None if self.exempt(cls, "quota") else self.quota(detainee, extra)
        if not self.exempt(cls, "pause"):
            self.pause(detainee, extra)
        allowed = quotas.set_by("call_s", self.dossier.allowances, detainee.scopes)
        limit_s = self.facts.limit_s if allowed is None or allowed.call_s is None else float(allowed.call_s)
        self.note("limit", f"{limit_s:g} s, {'the service’s' if allowed is None else f'of {allowed.scope}'}")
        if limit_s <= 0:
            self.refuse(EndReason.QUOTA_REACHED, "limit", "no call is allowed")
        tariff = None
        if not self.exempt(cls, "price"):
            tariff = tariff_for(self.dossier.tariffs, cls.id, self.local)
            self.note("tariff", "none: free" if tariff is None else f"{tariff.id}: {tariff.price} a {tariff.unit}")
        affordable = None if tariff is None else affordable_s(tariff, self.dossier.balance_cents)
        if tariff is not None:
            paid = "any time" if affordable is None else f"{affordable} s"
            self.note("balance", f"{self.dossier.balance_cents} cents pay for {paid}")
        shorter = {
            Limit.HOURS: self.seconds_to(hours_end),
            Limit.QUOTA: left,
            Limit.BALANCE: affordable,
            Limit.AUTHORISATION: self.seconds_to(valid_to),
        }
        by = min((k for k, v in shorter.items() if v is not None), key=lambda k: shorter[k] or 0.0, default=None)
        least = shorter[by] if by is not None else None
        if by is None or least is None or least >= limit_s:
            by = None
        else:
            limit_s = float(int(least))
            if limit_s < max(1.0, self.facts.shortest_s):
                self.refuse(_TOO_SHORT[by], "limit", f"{limit_s:g} s are left by {by}: too short for a call")
            self.note("limit", f"{limit_s:g} s, shortened by {by}")
        ends = [(end, why) for end, why in ((hours_end, Limit.HOURS), (valid_to, Limit.AUTHORISATION)) if end]
        not_after, not_after_by = min(ends, default=(None, None))
        return Granted(
            limit_s=limit_s,
            confidential=cls.confidential,
            cls=cls,
            tariff=tariff,
            unpriced=tariff is None and "price" not in cls.exempt,
            hold_cents=0 if tariff is None else price_of(tariff, limit_s),
            shortened_by=by,
            not_after_utc=not_after,
            not_after_by=not_after_by,
            extra=None if extra is None else extra.id,
        )

    def seconds_to(self, end: datetime.datetime | None) -> float | None:
        return None if end is None else (end - self.facts.at_utc).total_seconds()

    def hours(self, detainee: Detainee, extra: ScheduleException | None) -> datetime.datetime | None:
        """When what is open now closes."""
        exceptions = [each for each in self.dossier.exceptions if each.kind != "extra" or each == extra]
        told = opening(self.dossier.windows, exceptions, self.facts.zone, detainee.scopes, self.facts.at_utc)
        if not told.open:
            following = "" if told.next_utc is None else f"; opens {self.as_local(told.next_utc)}"
            reason = EndReason.CLOSED if told.exception else EndReason.OUTSIDE_HOURS
            self.refuse(reason, "schedule", told.because + following)
        until = "" if told.until_utc is None else f", until {self.as_local(told.until_utc)}"
        self.note("schedule", told.because + until)
        return told.until_utc

    def as_local(self, instant: datetime.datetime) -> str:
        return instant.astimezone(self.facts.zone).strftime("%Y-%m-%d %H:%M")

    def quota(self, detainee: Detainee, extra: ScheduleException | None) -> float | None:
        """Seconds that the quotas leave; None where none of them counts minutes."""
        if extra is not None:
            self.note("quota", "does not count for an extra call")
            return None
        seconds: float | None = None
        history = [call for call in self.history("quota") if not call.extra]
        for use in quotas.uses(self.dossier.allowances, detainee.scopes, history, self.facts.zone, self.facts.at_utc):
            if use.left < 1:
                self.refuse(EndReason.QUOTA_REACHED, "quota", str(use))
            self.note("quota", str(use))
            if use.measure == "seconds":
                seconds = use.left if seconds is None else min(seconds, use.left)
        return seconds

    def pause(self, detainee: Detainee, extra: ScheduleException | None) -> None:
        if extra is not None:
            self.note("pause", "does not count for an extra call")
            return
        allowances, at = self.dossier.allowances, self.facts.at_utc
        until = quotas.pause_until(allowances, detainee.scopes, self.history("pause"), at)
        if until is not None and until > at:
            self.refuse(EndReason.PAUSE_WANTED, "pause", f"after the last call, until {self.as_local(until)}")
        self.note("pause", "none to wait for")

    def history(self, what: Exemption) -> list[quotas.PastCall]:
        """The past calls that count for it."""
        return [call for call in self.dossier.history if not self.past_exempt(call, what)]

    def again(self, reason: EndReason) -> datetime.datetime | None:
        """When the call that is refused for this reason may be made, where time alone will bring it about."""
        if self.asks is None or reason not in _FOR_NOW:
            return None
        detainee, cls, valid_to = self.asks
        counted = [call for call in self.history("quota") if not call.extra]
        rules = TimeRules(
            zone=self.facts.zone,
            scopes=detainee.scopes,
            windows=None if "schedule" in cls.exempt else self.dossier.windows,
            exceptions=self.dossier.exceptions,
            allowances=self.dossier.allowances,
            counted=None if "quota" in cls.exempt else counted,
            paused=None if "pause" in cls.exempt else self.history("pause"),
            shortest_s=max(1.0, self.facts.shortest_s),
        )
        at = next_time(rules, self.facts.at_utc)
        allowed = quotas.set_by("call_s", self.dossier.allowances, detainee.scopes)
        never = allowed is not None and allowed.call_s == 0
        if at is None or never or at <= self.facts.at_utc or (valid_to is not None and at >= valid_to):
            return None
        return at

    def past_exempt(self, call: quotas.PastCall, what: Exemption) -> bool:
        cls = self.dossier.classes.get(call.cls)
        return cls is not None and what in cls.exempt
