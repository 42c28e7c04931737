"""Someone at a whole studio: the processes, an account, a model to start from, and a browser in front of it."""

from contextlib import contextmanager

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.e2e.browser import ARGUMENTS, chromium, complains
from tests.e2e.studio import whole_studio
from tests.tiny import tiny_model

PASSWORD = "four words nobody guesses"
SLOW = 120_000  # ms, for what a worker, a trainer or a model has to do first
MAKE_ALICE = (
    "from studio.models import User; "
    f"User.objects.create_user('alice', 'alice@example.org', {PASSWORD!r}, is_staff=True)"
)


@pytest.fixture
def studio(tmp_path):
    """Everything that a person needs to begin: the processes, an account, a model to start from."""
    with whole_studio(tmp_path / "studio") as studio:
        studio.start("worker", "trainer", "server")
        # Untied and far from zero, so that its answers differ; a random model says nothing that makes sense.
        folder = tiny_model(tmp_path / "little", tie_word_embeddings=False, initializer_range=0.3)
        studio.run("shell", "--verbosity", "0", "-c", MAKE_ALICE)
        studio.run("models", "--folder", str(folder), "--name", "Little", "--user", "alice")
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


@contextmanager
def told_when_it_fails(page: Page, studio, folder):
    """A failure shows where the person stood, and what the processes said."""
    try:
        yield
    except BaseException:
        picture = folder / "failed.png"
        page.screenshot(path=picture, full_page=True)
        print(f"at {page.url}, seen in {picture}\n{page.locator('main').inner_text()[:1500]}\n{studio.told()}")
        raise


def log_in(page: Page, studio) -> None:
    page.goto(studio.url)
    page.get_by_label("Username or email").fill("alice")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page.locator(".rail .foot")).to_contain_text("alice")


def make_project(page: Page, name: str, kind: str = "ranking", guidelines: str = "") -> str:
    """Its address."""
    page.get_by_role("navigation", name="The loop").get_by_role("link", name="Label").click()
    page.get_by_role("link", name="New project").first.click()
    page.get_by_label("Name").first.fill(name)
    page.get_by_label("Kind").select_option(kind)
    if guidelines:
        page.get_by_label("Guidelines").fill(guidelines)
        expect(page.locator("#preview strong")).to_be_visible()
    page.get_by_role("button", name="Create project").click()
    expect(page.locator(".page-head h1")).to_have_text(name)
    return page.url


def import_file(page: Page, path, shows: tuple[str, ...], count: int) -> None:
    """Preview a file, whose first sample says what it `shows`, and import all `count` rows."""
    page.get_by_role("link", name="Import").first.click()
    page.get_by_label("A file").set_input_files(path)
    page.get_by_role("button", name="Preview").click()
    for text in shows:
        expect(page.locator(".sample").first).to_contain_text(text)
    page.get_by_role("button", name="Import", exact=True).click()
    expect(page.locator("#report .badge")).to_have_text("succeeded", timeout=SLOW)
    expect(page.locator("#report")).to_contain_text(str(count))
