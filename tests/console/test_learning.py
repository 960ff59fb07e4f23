"""Learning from a confirmed finding, unlearning it, and promising a brand what is flagged."""

from conftest import FIXTURES
from playwright.sync_api import expect
from test_review import screen

PHOTO = FIXTURES / "photos/codeberg-sticker.jpg"


def test_a_confirmed_part_becomes_a_picture_until_the_decision_is_taken_back(server, tab):
    screen(server, "L-1", PHOTO)
    page = tab.page
    page.goto(f"{server.address}/review")
    page.keyboard.press("c")
    expect(page.get_by_role("status")).to_contain_text("Confirmed: 1 finding")
    page.keyboard.press("l")
    expect(page.get_by_role("status")).to_contain_text("Learnt")
    expect(page.get_by_role("button", name="Stop comparing with it")).to_be_visible()
    tab.look("review-learnt")
    page.get_by_role("link", name="picture of the asset").click()
    expect(page.get_by_text("learnt", exact=True)).to_be_visible()
    tab.look("asset-learnt")
    page.go_back()
    page.get_by_role("button", name="Stop comparing with it").click()
    expect(page.get_by_role("button", name="Learn from it")).to_be_visible()

    page.goto(f"{server.address}/")
    page.get_by_label("Promise to Codeberg").select_option("0.95")
    page.get_by_role("button", name="Set the promise to Codeberg").click()
    expect(page.get_by_text("nothing is flagged yet", exact=False)).to_be_visible()
    tab.look("overview-promise")
