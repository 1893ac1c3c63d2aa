"""What each operation asks for, whether somebody of the staff may do it, and the end of a designation."""

import datetime
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from avisiod.office.desk import OPERATIONS, Desk, Request, operation
from avisiod.office.lists import Edited, change
from avisiod.office.permissions import EVERYTHING
from avisiod.office.plan import Edit, Problem, Refused
from avisiod.store import staff


class EndRequest(Request, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whose designation for what."""

    user: str
    role: str


@operation("staff.end", needs="edit_staff")
def end(desk: Desk, request: EndRequest) -> Edited:
    """End a designation at once: yesterday was its last day. It stays on the list."""
    fields = {"user": request.user, "role": request.role}
    yesterday = desk.today - datetime.timedelta(days=1)
    ended = Edit(action="change", fields={**fields, "valid_to": yesterday.isoformat()})
    return change(desk, desk.kind("staff"), [ended])


class Denied(Refused):
    """Refused for who asks, whatever was asked."""


def admit(desk: Desk, user: str, name: str, arguments: Mapping[str, Any]) -> None:
    """Let a user of this machine do something. Denied where no role of theirs lets them; the trail has that then.

    Where nobody has ever been designated, whoever reaches the counter may do everything.
    """
    needed = needed_for(desk, name, arguments)

    def held(connection: Connection) -> tuple[bool, list[staff.Designation]]:
        return staff.anybody(connection), list(staff.designations(connection, user))

    anybody, found = desk.read(held)
    if not anybody:
        return
    now = [each for each in found if each.holds_on(desk.today)]
    if any(not each.may.isdisjoint({needed, EVERYTHING}) for each in now):
        return
    desk.write(lambda connection: desk.note(connection, "denied", "staff", user, operation=name, needs=needed))
    raise Denied(_why(user, needed, found, now, desk))


def _why(user: str, needed: str, found: list[staff.Designation], now: list[staff.Designation], desk: Desk) -> Problem:
    if now:
        roles = " and ".join(each.role for each in now)
        verb = "does" if len(now) == 1 else "do"
        return Problem(
            reason=f"this needs `{needed}`, which {roles} {verb} not include",
            remedy="ask somebody whose role does (avisioctl roles list)",
        )
    if found:
        # the one that matters is the one that ended last, or that begins next
        latest = max(found, key=lambda each: each.valid_from)
        begins = latest.valid_from > desk.today
        when = f"begins on {latest.valid_from}" if begins else f"ended on {latest.valid_to}"
        return Problem(
            reason=f"{user}'s designation as {latest.role} {when}", remedy="ask an administrator for another one"
        )
    return Problem(
        reason=f"{user} is not designated for anything here", remedy="ask an administrator (avisioctl staff add)"
    )


def needed_for(desk: Desk, name: str, arguments: Mapping[str, Any]) -> str:
    """The permission that an operation asks for; of a list it depends on which list."""
    if name not in OPERATIONS:
        return EVERYTHING  # `perform` says what is wrong with it
    needs = OPERATIONS[name].needs
    if needs not in ("see", "edit"):
        return needs
    kind = desk.kinds.get(str(arguments.get("kind", "")))
    return EVERYTHING if kind is None else f"{needs}_{kind.group}"
