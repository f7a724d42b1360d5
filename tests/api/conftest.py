"""The application on either database, called in this process."""

import pytest
from fastapi.testclient import TestClient


@pytest.fixture
def either_client(database):
    from app.main import create_app

    with TestClient(create_app(), base_url="http://127.0.0.1:8000", raise_server_exceptions=False) as test_client:
        yield test_client
