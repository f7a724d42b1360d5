"""How requests find their routes."""

from app.main import create_app


def test_every_route_is_in_one_list_and_the_one_that_is_asked_most_comes_first():
    """Of a router within a router every route would be matched twice, for every request."""
    paths = [getattr(route, "path", None) for route in create_app().routes]
    assert None not in paths
    assert paths[:2] == ["/openapi.json", "/predict"], "FastAPI puts its own first"
