"""What the site's rules still lack before anybody can be called: told at the start and by `avisiod --check-config`.

Each call would be refused with its own reason all the same; but nobody should have to dial to find out that nothing
has been entered yet.
"""

from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, func, or_, select
from sqlalchemy.exc import DBAPIError

from avisiod.store.opening import is_url
from avisiod.store.schema import phones
from avisiod.store.schema_rules import authorisations, detainees, schedule_exceptions, windows

NOBODY = (
    "site.admission is full and no detainee is entered, so every call will be refused: enter them with avisioctl "
    "(docs/staff.md), or try the installation out with site.admission: listed"
)
_NO_PHONE = (
    "no phone has an occupant or is shared, so every call will be refused: "
    "avisioctl phones change PHONE --occupant DETAINEE, or --shared yes"
)
_NO_HOURS = (
    "no hours are set, so every call will be refused but those to classes that are exempt: avisioctl windows add"
)
_NO_AUTHORISATION = (
    "no contact is authorised for anybody, so every call will be refused but those to classes that are exempt: "
    "avisioctl authorisations add"
)


def lacking(connection: Connection) -> list[str]:
    """What keeps everybody from calling where all of the site's rules hold; a sentence each, with the remedy."""

    def none(count: object) -> bool:
        return not connection.scalar(count)  # type: ignore[call-overload]

    if none(select(func.count()).select_from(detainees).where(detainees.c.listed)):
        return [NOBODY]
    found = []
    stands_for_somebody = or_(phones.c.occupant.is_not(None), phones.c.shared)
    if none(select(func.count()).select_from(phones).where(phones.c.listed, stands_for_somebody)):
        found.append(_NO_PHONE)
    opened = select(func.count()).select_from(schedule_exceptions).where(schedule_exceptions.c.kind != "closed")
    if none(select(func.count()).select_from(windows)) and none(opened):
        found.append(_NO_HOURS)
    if none(select(func.count()).select_from(authorisations).where(authorisations.c.state == "granted")):
        found.append(_NO_AUTHORISATION)
    return found


def lacking_in(where: str | Path) -> list[str]:
    """The same of a database that nobody has opened yet, without changing a byte of it.

    One that is not there yet lacks everything; nothing is said of one that cannot be read, or that is not current:
    the start has its own words for that.
    """
    if not is_url(where) and not Path(where).exists():
        return [NOBODY]
    engine = _only_reading(str(where))
    try:
        with engine.connect() as connection:
            return lacking(connection)
    except DBAPIError:
        return []
    finally:
        engine.dispose()


def _only_reading(where: str) -> Engine:
    if not is_url(where):
        return create_engine(f"sqlite:///file:{where}?mode=ro&uri=true", hide_parameters=True)
    url = where.replace("postgresql:", "postgresql+psycopg:", 1)
    return create_engine(url, hide_parameters=True, connect_args={"connect_timeout": 5})
