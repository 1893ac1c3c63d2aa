"""One place for all tests of this folder: making it takes longer than most of them."""

from collections.abc import Iterator

import pytest

from tests.network.internet import Internet
from tests.network.networks import may_make
from tests.network.place import Place
from tests.peers.baresip import BaresipPhone
from tests.peers.waiting import wait_until


@pytest.fixture(scope="package")
def net() -> Iterator[Internet]:
    if not may_make():
        pytest.skip("networks of their own need root (CAP_SYS_ADMIN)")
    with Internet() as net:
        yield net


@pytest.fixture(scope="package")
def place(net: Internet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with Place(tmp_path_factory.mktemp("network"), net) as place:
        yield place


@pytest.fixture(scope="package")
def phone(place: Place) -> BaresipPhone:
    with place.net.box.entered():
        return place.phone()


@pytest.fixture(autouse=True)
def on_the_box(place: Place) -> Iterator[None]:
    """Each test asks the daemon from the box itself, and leaves the network well."""
    with place.net.box.entered():
        yield
        place.net.go_home()


@pytest.fixture
def quiet_afterwards(on_the_box: None, place: Place, phone: BaresipPhone) -> Iterator[None]:
    """The test leaves no call behind for the next one."""
    yield
    phone.hang_up()
    wait_until(lambda: all(call["state"] == "ended" for call in place.calls()), 30, "every call has ended")
