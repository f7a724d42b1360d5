"""The interactive documentation, in a browser that obeys the policy it is sent with."""

import pytest

pytestmark = pytest.mark.xdist_group("dashboard")


def test_it_is_drawn_and_breaks_nothing_of_its_policy(watched, url):
    page, _ = watched  # which finds what the policy has refused among the console's errors
    page.goto(f"{url}/docs")
    page.wait_for_selector(".opblock-summary")
    assert page.locator(".opblock-summary").count() > 30
