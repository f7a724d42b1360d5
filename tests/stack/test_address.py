import socket
import threading
import time

import pytest

from app.config import Settings
from app.db.migrate import upgrade
from app.key import service
from app.key.schemas import NewKey
from app.stack.address import check_exposure, listen, url_of
from app.stack.errors import StartError


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3"])
def test_listening_beyond_this_machine_needs_a_key(settings_home, host):
    for _ in range(2):  # an empty database, and one without keys
        with pytest.raises(StartError, match="no API key"):
            check_exposure(Settings(host=host))
        upgrade()
    check_exposure(Settings(host=host, first_api_key="secret"))
    service.create(NewKey(name="test"))
    check_exposure(Settings(host=host))


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.8.8.8"])
def test_loopback_needs_no_key(settings_home, host):
    check_exposure(Settings(host=host))


def test_port_0_is_a_free_port():
    with listen("127.0.0.1", 0, patient=False) as one, listen("127.0.0.1", 0, patient=False) as two:
        assert 0 < one.getsockname()[1] != two.getsockname()[1] > 0


def test_a_taken_port_is_refused_at_once_unless_its_owner_is_just_dying():
    with socket.create_server(("127.0.0.1", 0)) as owner:
        port = owner.getsockname()[1]
        begun = time.monotonic()
        with pytest.raises(StartError, match=f"port {port} of 127.0.0.1 is in use"):
            listen("127.0.0.1", port, patient=False)
        assert time.monotonic() - begun < 0.5
        dying = threading.Timer(0.5, owner.close)
        dying.start()
        listen("127.0.0.1", port, patient=True).close()
        dying.join()


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("0.0.0.0", "http://127.0.0.1:80"),
        ("::", "http://[::1]:80"),
        ("localhost", "http://localhost:80"),
    ],
)
def test_the_printed_address_can_be_called(host, url):
    assert url_of(host, 80) == url
