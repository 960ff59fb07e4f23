"""Dropping a photo: what is found, where, and why; and why not."""

from conftest import FIXTURES, drop
from playwright.sync_api import expect


def test_a_copied_picture_is_shown_beside_its_original(server, tab):
    page = tab.page
    page.goto(f"{server.address}/try")
    drop(page, "[data-drop]", FIXTURES / "photos/copy-oatly-natural-oatghurt-mirror.jpg")
    card = page.get_by_role("article").first
    expect(card.get_by_role("heading", level=3)).to_contain_text("Stolen photo: Oatly, oatly-natural-oatghurt")
    expect(card.get_by_text("mirrored", exact=False).first).to_be_visible()
    expect(card.get_by_text("Nearest other brand", exact=True)).to_be_visible()
    tab.look("try-copy")


def test_the_registered_picture_lies_where_it_was_found(server, tab):
    page = tab.page
    page.goto(f"{server.address}/try")
    drop(page, "[data-drop]", FIXTURES / "photos/copy-oatly-oat-milk-crop.jpg")
    page.locator("[data-overlay]").first.wait_for()
    # With the picture fully on, and as a difference, what lies rightly is nearly black.
    page.locator("[data-difference]").first.check()
    expect(page.locator(".over").first).to_have_css("opacity", "1")
    shot = page.locator(".clip").first.screenshot()
    brightness = page.evaluate(
        """async bytes => {
            const bitmap = await createImageBitmap(new Blob([new Uint8Array(bytes)]));
            const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
            const context = canvas.getContext("2d");
            context.drawImage(bitmap, 0, 0);
            const all = context.getImageData(0, 0, bitmap.width, bitmap.height).data;
            const middle = [];
            for (let y = Math.floor(bitmap.height * 0.35); y < bitmap.height * 0.65; y += 2) {
                for (let x = Math.floor(bitmap.width * 0.35); x < bitmap.width * 0.65; x += 2) {
                    middle.push(all[4 * (y * bitmap.width + x) + 1]);
                }
            }
            return middle.reduce((sum, v) => sum + v, 0) / middle.length;
        }""",
        list(shot),
    )
    assert brightness < 40, brightness
    tab.look("try-overlay")


def test_an_altered_mark_is_told_from_the_mark(server, tab):
    page = tab.page
    page.goto(f"{server.address}/try")
    drop(page, "[data-drop]", FIXTURES / "photos/altered-nordbukk-word.jpg")
    expect(page.get_by_role("article").first).to_contain_text("Altered logo")
    tab.look("try-altered")


def test_a_photo_of_nothing_says_what_came_nearest_and_why_it_is_not(server, tab):
    page = tab.page
    page.goto(f"{server.address}/try")
    drop(page, "[data-drop]", FIXTURES / "grocery/photos/nothing-1.jpg")
    expect(page.get_by_role("heading", level=2, name="Clear: nothing registered was found")).to_be_visible()
    card = page.get_by_role("article")
    expect(card).to_contain_text("Not a match")
    expect(card.get_by_role("heading", name="Why not")).to_be_visible()
    card.get_by_text("All measurements").click()
    tab.look("try-nothing")


def test_an_authorised_seller_raises_no_verdict(server, tab):
    page = tab.page
    page.goto(f"{server.address}/try")
    page.get_by_label("Sold by").fill("s-nordic-grocer")
    drop(page, "[data-drop]", FIXTURES / "photos/copy-oatly-oat-milk-crop.jpg")
    expect(page.get_by_role("heading", level=2, name="Clear: the seller is authorised")).to_be_visible()
    expect(page.get_by_role("article").first).to_contain_text("Authorised seller")


def test_what_is_no_photo_is_told_of_on_the_page(server, tab):
    page = tab.page
    page.goto(f"{server.address}/try")
    drop(page, "[data-drop]", FIXTURES / "photos.csv")
    expect(page.get_by_role("alert")).to_contain_text("photos.csv")
    assert all("422" in complaint for complaint in tab.complaints)
    tab.complaints.clear()
