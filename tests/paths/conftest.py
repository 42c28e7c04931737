"""Someone at a whole studio: the processes, an account, a model to start from, and a browser in front of it."""

import pytest
from playwright.sync_api import expect, sync_playwright

from tests.e2e.browser import ARGUMENTS, chromium, complains
from tests.paths.person import PASSWORD
from tests.paths.studio import whole_studio
from tests.tiny import tiny_model

MAKE_ALICE = (
    "from studio.models import User; "
    f"User.objects.create_user('alice', 'alice@example.org', {PASSWORD!r}, is_staff=True)"
)


@pytest.fixture(scope="package")
def studio(tmp_path_factory, services):
    """Everything that a person needs to begin: the processes, an account, a model to start from."""
    folder = tmp_path_factory.mktemp("studio")
    with whole_studio(folder / "studio", services) as studio:
        studio.start("worker", "trainer", "server")
        # Untied and far from zero, so that its answers differ; a random model says nothing that makes sense.
        little = tiny_model(folder / "little", tie_word_embeddings=False, initializer_range=0.3)
        studio.run("shell", "--verbosity", "0", "-c", MAKE_ALICE)
        studio.run("models", "--folder", str(little), "--name", "Little", "--user", "alice")
        studio.start("web")
        studio.wait_until_it_answers()
        yield studio


@pytest.fixture
def page():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(20_000)
        expect.set_options(timeout=20_000)
        page.complaints = []
        page.on("console", lambda message: complains(message) and page.complaints.append(message.text))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        yield page
        expect.set_options(timeout=5_000)
        browser.close()
