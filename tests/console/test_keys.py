"""Signing in, making and revoking keys, the audit log."""

from playwright.sync_api import expect


def test_the_first_operator_makes_keys_and_others_see_what_is_theirs(guarded_server, tab, browser):
    page, address = tab.page, guarded_server.address
    page.goto(f"{address}/review")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    tab.look("sign-in")
    page.get_by_label("Key").fill("ts_wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("Not signed in")
    assert all("401" in complaint for complaint in tab.complaints)
    tab.complaints.clear()

    page.goto(guarded_server.link)
    tab.look("sign-in-link")
    page.get_by_role("button", name="Sign in as the operator").click()
    expect(page.get_by_role("heading", name="Keys", exact=True)).to_be_visible()
    page.get_by_label("Holder").fill("Oatly's desk")
    page.get_by_label("Brands").fill("Oatly")
    page.get_by_role("button", name="Make the key").click()
    key = page.locator(".secret").inner_text()
    assert key.startswith("ts_")
    tab.look("keys")

    # The link is good once.
    other = browser.new_context().new_page()
    other.goto(guarded_server.link)
    other.get_by_role("button", name="Sign in as the operator").click()
    expect(other.get_by_role("alert")).to_contain_text("used already")

    # The owner sees its brand, and no page of the operator's.
    other.goto(f"{address}/assets")
    other.get_by_label("Key").fill(key)
    other.get_by_role("button", name="Sign in").click()
    expect(other.locator("main .tiles li")).to_have_count(2)
    expect(other.get_by_role("link", name="Keys")).to_have_count(0)
    assert other.goto(f"{address}/keys").status == 403
    assert other.goto(f"{address}/review").status == 200

    # Revoked, it is out at once.
    row = page.get_by_role("row").filter(has_text="Oatly's desk")
    row.get_by_role("button", name="Revoke").click()
    expect(page.get_by_role("status")).to_contain_text("Revoked")
    other.goto(f"{address}/assets")
    expect(other.get_by_role("heading", name="Sign in")).to_be_visible()

    page.get_by_role("link", name="Audit log").click()
    expect(page.get_by_role("row").filter(has_text="Key revoked")).to_contain_text("first start")
    expect(page.get_by_role("row").filter(has_text="Signed in").first).to_contain_text("Oatly's desk")
    tab.look("audit")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    other.context.close()
