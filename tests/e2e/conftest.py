"""A browser for all of these tests, and pages opened in it as somebody who is logged in."""

import pytest
from django.conf import settings
from django.test import Client
from playwright.sync_api import sync_playwright

from tests.e2e.browser import ARGUMENTS, chromium, complains


@pytest.fixture(scope="package")
def browser():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser, live_server):
    """Open a path as a user; whatever the browser complains about fails the test, unless it `grumbles` by design."""
    complaints, contexts = [], []

    def open_page(user, path, grumbles=False, **options):
        client = Client()
        client.force_login(user)
        context = browser.new_context(viewport=options.pop("viewport", {"width": 1280, "height": 800}), **options)
        value = client.cookies[settings.SESSION_COOKIE_NAME].value
        context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": value, "url": live_server.url}])
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(15000)
        if not grumbles:
            page.on("console", lambda message: complains(message) and complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(live_server.url + path)
        return page

    yield open_page
    for context in contexts:
        for page in context.pages:  # a request still under way would hold what emptying the database waits for
            page.wait_for_load_state("networkidle")
        context.close()
    assert not complaints
