"""Reviewing findings with the keyboard, and taking them away in files."""

import csv
import io
import json
import urllib.request

import pytest
from conftest import FIXTURES, drop
from playwright.sync_api import expect

PHOTOS = [
    "photos/copy-oatly-oat-milk-crop.jpg",
    "photos/altered-nordbukk-word.jpg",
    "photos/codeberg-sticker.jpg",
]


def screen(server, listing_id, photo, seller="s-unknown", keep="photos"):
    """Screens a listing with one photo, as a marketplace does."""
    boundary = "----listing"
    listing = json.dumps({"listing_id": listing_id, "seller": {"id": seller, "name": "Cheap & Co", "country": "XX"}})
    body = b"".join(
        [
            f'--{boundary}\r\nContent-Disposition: form-data; name="listing"\r\n\r\n{listing}\r\n'.encode(),
            f'--{boundary}\r\nContent-Disposition: form-data; name="photo"; filename="{photo.name}"\r\n\r\n'.encode(),
            photo.read_bytes(),
            f"\r\n--{boundary}--\r\n".encode(),
        ]
    )
    headers = {"content-type": f"multipart/form-data; boundary={boundary}"}
    request = urllib.request.Request(f"{server.address}/v1/screen?keep={keep}", body, headers)
    return json.load(urllib.request.urlopen(request))


@pytest.fixture
def screened(server):
    for i, photo in enumerate(PHOTOS):
        screen(server, f"L-{i}", FIXTURES / photo)
    # The same picture in another listing.
    screen(server, "L-again", FIXTURES / PHOTOS[1])
    return server


def n_open(server):
    return len(json.load(urllib.request.urlopen(f"{server.address}/v1/findings?status=open"))["findings"])


def current(page):
    return page.locator(".pane").get_attribute("data-finding")


def test_an_empty_queue_says_where_findings_come_from(server, tab):
    tab.page.goto(f"{server.address}/review")
    expect(tab.page.get_by_text("Nothing to review.")).to_be_visible()
    tab.look("review-empty")


def test_findings_are_decided_with_keys_alone(screened, tab):
    page = tab.page
    page.goto(f"{screened.address}/review")
    # Compared anew, the registered picture lies on the photo.
    expect(page.locator(".pane [data-overlay]")).to_be_visible()
    tab.look("review")
    before = n_open(screened)

    first = current(page)
    page.keyboard.press("j")
    page.wait_for_function("id => document.querySelector('.pane').dataset.finding !== id", arg=first)
    second = current(page)
    page.keyboard.press("k")
    page.wait_for_function("id => document.querySelector('.pane').dataset.finding === id", arg=first)

    page.keyboard.press("n")
    page.keyboard.type("counterfeit")
    page.keyboard.press("Escape")
    repeats = page.locator("[name=repeats]")
    n_decided = 2 if repeats.count() else 1
    page.keyboard.press("c")
    expect(page.get_by_role("status")).to_contain_text("Confirmed")
    assert n_open(screened) == before - n_decided
    tab.look("review-decided")

    page.keyboard.press("z")
    expect(page.get_by_role("status")).to_contain_text("Taken back")
    assert current(page) == first
    assert n_open(screened) == before
    expect(page.locator(".pane")).to_contain_text("confirmed: counterfeit")

    page.keyboard.press("r")
    expect(page.get_by_role("status")).to_contain_text("Rejected")
    assert current(page) != first
    page.keyboard.press("u")
    expect(page.get_by_role("status")).to_contain_text("Unsure")
    assert second is not None


def test_a_cluster_is_decided_at_once(screened, tab):
    page = tab.page
    page.goto(f"{screened.address}/review?brand=Nordbukk")
    expect(page.get_by_label("Also the undecided ones of 1 more")).to_be_checked()
    before = n_open(screened)
    page.get_by_role("button", name="Reject").click()
    expect(page.get_by_role("status")).to_contain_text("Rejected: 2 findings")
    assert n_open(screened) == before - 2
    # The same once more needs nobody.
    answer = screen(screened, "L-third", FIXTURES / PHOTOS[1])
    assert "suppressed" in json.dumps(answer)


def test_everything_is_decided_until_the_queue_is_empty(screened, tab):
    page = tab.page
    page.goto(f"{screened.address}/review")
    for _ in range(n_open(screened)):
        finding = current(page)
        page.keyboard.press("c")
        page.wait_for_function("id => document.querySelector('.pane')?.dataset.finding !== id", arg=finding)
        if page.locator(".pane").count() == 0:
            break
    expect(page.get_by_text("Nothing to review.")).to_be_visible()
    page.goto(screened.address)
    expect(page.get_by_role("region", name="By brand").first).to_contain_text("100.0 %")
    tab.look("overview")


def test_findings_leave_as_csv_and_as_json_lines(screened, tab):
    page = tab.page
    page.goto(f"{screened.address}/review?brand=Nordbukk")
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    rows = list(csv.DictReader(io.StringIO(download.value.path().read_text())))
    assert rows and all(row["brand"] == "Nordbukk" for row in rows)
    with page.expect_download() as download:
        page.get_by_role("link", name="JSON lines").click()
    lines = download.value.path().read_text().splitlines()
    assert len(lines) == len(rows)


def test_a_photo_that_was_not_kept_can_still_be_judged(server, tab):
    screen(server, "L-1", FIXTURES / PHOTOS[0], keep="findings")
    page = tab.page
    page.goto(f"{server.address}/review")
    expect(page.get_by_text("The photo was not kept")).to_be_visible()
    tab.look("review-no-photo")
    page.keyboard.press("u")
    expect(page.get_by_role("status")).to_contain_text("Unsure")


def test_a_tried_photo_that_is_kept_comes_to_review(server, tab):
    page = tab.page
    page.goto(f"{server.address}/try")
    page.get_by_label("Keep the photo").check()
    drop(page, "[data-drop]", FIXTURES / PHOTOS[2])
    page.get_by_text("Kept for 365 days").get_by_role("link", name="Review").click()
    expect(page.locator(".pane")).to_contain_text("codeberg")


def test_review_works_without_the_script(browser, screened):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{screened.address}/review")
    before = n_open(screened)
    page.get_by_label("Reason").fill("copied picture")
    page.get_by_role("button", name="Unsure").click()
    expect(page.get_by_role("status")).to_contain_text("Unsure")
    assert n_open(screened) < before
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("status")).to_contain_text("Taken back")
    assert n_open(screened) == before
    context.close()
