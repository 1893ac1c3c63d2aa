"""Who of the staff may do what, read for each thing that is asked."""

import datetime
from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection, func, select

from avisiod.store.schema_staff import roles, staff


class Designation(msgspec.Struct, frozen=True, kw_only=True):
    """A role that somebody holds, held or will hold."""

    role: str
    may: frozenset[str]
    valid_from: datetime.date
    valid_to: datetime.date | None
    """Its last day; None: no end is set."""

    def holds_on(self, day: datetime.date) -> bool:
        """Whether it is in force on a day of the site's calendar."""
        return self.valid_from <= day and (self.valid_to is None or day <= self.valid_to)


def anybody(connection: Connection) -> bool:
    """Whether the site has designated anybody, ever: from then on, who is not designated may do nothing."""
    return bool(connection.scalar(select(func.count()).select_from(staff)))


def designations(connection: Connection, user: str) -> Sequence[Designation]:
    """Every role of a user of this machine, in force or not, by its name."""
    query = select(staff, roles.c.may).join(roles, roles.c.id == staff.c.role).where(staff.c.user == user)
    return [
        Designation(
            role=row.role,
            may=frozenset(filter(None, row.may.split(","))),
            valid_from=row.valid_from,
            valid_to=row.valid_to,
        )
        for row in connection.execute(query.order_by(staff.c.role))
    ]
