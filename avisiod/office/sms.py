"""Operations on SMS routes: how they are, and a test."""

import phonenumbers

from avisiod.numbers import dialled_number
from avisiod.office.desk import Desk, Request, operation
from avisiod.office.plan import Problem, Refused


class RoutesRequest(Request, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Nothing."""


class TestRequest(Request, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which route sends to which number."""

    route: str
    number: str


@operation("sms.routes", needs="see_phones")
def routes(desk: Desk, request: RoutesRequest) -> object:  # noqa: ARG001 - every operation has one
    """Every route in its order: health, counts and cost of the day."""
    return desk.ask("sms.routes")


@operation("sms.test", needs="edit_phones")
def test(desk: Desk, request: TestRequest) -> object:
    """Send a message without a code. The trail notes the route and the country, not the number."""
    number = dialled_number(request.number, desk.site.region)
    if number is None:
        raise Refused(Problem(column="number", reason="this is no telephone number", remedy="dial it as at a phone"))
    country = phonenumbers.region_code_for_number(phonenumbers.parse(number)) or "unknown"
    desk.write(lambda connection: desk.note(connection, "test", "sms_route", request.route, country=country))
    return desk.ask("sms.test", route=request.route, number=number)
