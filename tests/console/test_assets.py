"""Registering, looking at, switching off and removing assets in the browser."""

from conftest import FIXTURES, drop
from playwright.sync_api import expect


def test_a_first_time_user_registers_a_mark_and_finds_it(empty_server, tab):
    page = tab.page
    page.goto(empty_server.address)
    tab.look("overview-empty")
    page.get_by_role("link", name="Register the first one").click()
    expect(page.get_by_text("Nothing is registered yet")).to_be_visible()
    tab.look("assets-empty")

    drop(page, "#register [data-drop]", FIXTURES / "assets/codeberg-1.svg")
    expect(page.get_by_role("img", name="codeberg-1.svg")).to_be_visible()
    page.get_by_label("Brand", exact=True).fill("Codeberg")
    page.get_by_label("Words the mark shows").fill("Codeberg\nコードベルグ")
    page.get_by_role("button", name="Register").click()
    expect(page.get_by_role("heading", level=1, name="codeberg-1")).to_be_visible()
    expect(page.get_by_role("status")).to_contain_text("Registered.")
    expect(page.get_by_text("Codeberg, コードベルグ")).to_be_visible()
    tab.look("asset-registered")

    page.get_by_role("status").get_by_role("link", name="Try a photo").click()
    tab.look("try-empty")
    drop(page, "[data-drop]", FIXTURES / "photos/codeberg-sticker.jpg")
    expect(page.get_by_role("heading", level=2, name="finding")).to_be_visible()
    expect(page.get_by_role("heading", level=3, name="Codeberg, codeberg-1")).to_be_visible()


def test_what_is_registered_already_is_warned_of(server, tab):
    page = tab.page
    page.goto(f"{server.address}/assets#register")
    drop(page, "#register [data-drop]", FIXTURES / "assets/codeberg-2.png")
    page.get_by_label("Brand", exact=True).fill("Codebergh")
    page.get_by_role("button", name="Register").click()
    warning = page.get_by_role("region", name="Looks like what is registered already")
    expect(warning.get_by_role("link", name="codeberg")).to_be_visible()
    tab.look("asset-similar")


def test_a_bad_picture_is_told_of_beside_the_form_which_keeps_its_fields(server, tab):
    page = tab.page
    page.goto(f"{server.address}/assets")
    drop(page, "#register [data-drop]", FIXTURES / "assets.csv")
    page.get_by_label("Brand", exact=True).fill("Acme")
    page.get_by_role("button", name="Register").click()
    expect(page.get_by_role("alert")).to_contain_text("assets.csv")
    expect(page.get_by_label("Brand", exact=True)).to_have_value("Acme")
    # The browser itself notes that the answer was an error.
    assert all("422" in complaint for complaint in tab.complaints)
    tab.complaints.clear()


def test_each_picture_can_be_an_asset_of_its_own(empty_server, tab):
    page = tab.page
    page.goto(f"{empty_server.address}/assets")
    packs = sorted((FIXTURES / "grocery/packs").glob("oatly-*.jpg"))
    drop(page, "#register [data-drop]", *packs)
    page.get_by_label("Brand", exact=True).fill("Oatly")
    page.get_by_label("Kind").select_option("packaging")
    page.get_by_label("Each picture is an asset of its own").check()
    page.get_by_role("button", name="Register").click()
    expect(page.get_by_role("status")).to_contain_text(f"{len(packs)} assets registered.")
    for pack in packs:
        expect(page.get_by_role("link", name=pack.stem)).to_be_visible()


def test_assets_are_filtered_switched_off_and_removed(server, tab):
    page = tab.page
    page.goto(f"{server.address}/assets")
    tab.look("assets")
    page.get_by_role("search").get_by_label("Brand").select_option("Oatly")
    page.get_by_role("button", name="Show").click()
    tiles = page.locator("main .tiles li")
    expect(tiles).to_have_count(2)
    tiles.first.get_by_role("link").click()
    page.get_by_role("button", name="Switch off").click()
    expect(page.get_by_role("status")).to_contain_text("Switched off")
    expect(page.get_by_role("button", name="Switch on")).to_be_visible()

    page.get_by_text("Remove asset").click()
    tab.look("asset-off")
    page.locator("form[action$='/remove']").last.get_by_role("button").click()
    expect(page.get_by_role("status")).to_contain_text("Removed")
    page.goto(f"{server.address}/assets?brand=Oatly")
    expect(tiles).to_have_count(1)


def test_an_unknown_page_says_so(server, tab):
    page = tab.page
    page.goto(f"{server.address}/assets/9999")
    expect(page.get_by_text("no asset has id 9999")).to_be_visible()
    tab.look("unknown")
    page.goto(f"{server.address}/nothing/here")
    expect(page.get_by_text("there is no /nothing/here")).to_be_visible()
    assert all("404" in complaint for complaint in tab.complaints)
    tab.complaints.clear()


def test_pages_work_without_the_script(browser, server):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{server.address}/assets")
    page.locator("#register input[type=file]").set_input_files(FIXTURES / "assets/fluentd-1.bmp")
    page.get_by_label("Brand", exact=True).fill("Plain")
    page.get_by_role("button", name="Register").click()
    expect(page.get_by_role("status")).to_contain_text("Registered.")
    page.goto(f"{server.address}/try")
    page.locator("input[type=file]").set_input_files(FIXTURES / "photos/codeberg-sticker.jpg")
    page.get_by_role("button", name="Look").click()
    expect(page.get_by_role("heading", level=2, name="finding")).to_be_visible()
    context.close()
