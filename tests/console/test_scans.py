"""Handing in an archive, watching it, its report and results, and forgetting it."""

import json
import zipfile

from conftest import FIXTURES, drop
from playwright.sync_api import expect

PHOTOS = ["photos/copy-oatly-oat-milk-crop.jpg", "photos/codeberg-sticker.jpg"]


def test_an_archive_is_scanned_and_forgotten(server, tab, tmp_path):
    archive = tmp_path / "night.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for photo in PHOTOS:
            packed.write(FIXTURES / photo, f"L-{photo.split('/')[1]}")
    page = tab.page
    page.goto(f"{server.address}/scans")
    expect(page.get_by_text("Nothing was scanned yet.")).to_be_visible()
    expect(page.get_by_text("kept for 30 days")).to_be_visible()
    tab.look("scans-empty")

    drop(page, "[data-drop]", archive)
    page.get_by_role("button", name="Scan", exact=True).click()
    expect(page.get_by_role("heading", name="night.zip")).to_be_visible()
    # The page follows by itself.
    expect(page.get_by_role("link", name="Open the report")).to_be_visible(timeout=60_000)
    expect(page.get_by_role("status")).to_contain_text("2 of 2 photos")
    tab.look("scan-done")
    with page.expect_download() as downloading:
        page.get_by_role("link", name="JSON lines").click()
    rows = [json.loads(line) for line in downloading.value.path().read_text().splitlines()]
    assert [row["verdict"] for row in rows].count("Flagged") >= 1

    page.get_by_role("link", name="Open the report").click()
    expect(page.get_by_role("heading", name="Scan of night.zip")).to_be_visible()
    page.go_back()
    page.get_by_text("Forget the scan").click()
    page.get_by_role("button", name="Forget it").click()
    expect(page.get_by_role("status")).to_contain_text("Forgotten")
    expect(page.get_by_text("Nothing was scanned yet.")).to_be_visible()


def test_what_is_no_archive_is_refused_beside_the_form(server, tab, tmp_path):
    wrong = tmp_path / "photo.txt"
    wrong.write_text("no manifest")
    page = tab.page
    page.goto(f"{server.address}/scans")
    drop(page, "[data-drop]", wrong)
    page.get_by_role("button", name="Scan", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("no manifest and no archive")
    assert all("422" in complaint for complaint in tab.complaints)
    tab.complaints.clear()
