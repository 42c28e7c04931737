"""What someone does at a whole studio, in a browser, on every path."""

import re
from contextlib import contextmanager

from playwright.sync_api import Page, expect

PASSWORD = "four words nobody guesses"
SLOW = 120_000  # ms, for what a worker, a trainer or a model has to do first


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


def check_and_launch(page: Page) -> str:
    """From a filled launch form to the run; its address."""
    page.get_by_role("button", name="Check", exact=True).click()
    button = page.get_by_role("button", name="Launch", exact=True)
    expect(button).to_be_visible(timeout=SLOW)
    if (read := page.get_by_label("I have read the warnings")).count():
        read.check()
    button.click()
    page.wait_for_url(re.compile(r"/train/\d+/$"))
    return page.url
