"""A check of ours, which Schemathesis loads by the variable SCHEMATHESIS_HOOKS."""

import schemathesis

from app.api.scopes import OPEN


@schemathesis.check
def only_open_routes_answer(ctx, response, case) -> None:
    """Whoever has no valid key is told so, whatever else is wrong with what they ask."""
    if case.operation.path not in OPEN:
        assert response.status_code == 401, f"{response.status_code} without a valid key"
