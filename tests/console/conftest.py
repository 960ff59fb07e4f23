"""A real server on a home of its own, and headless Chromium that tells of everything that goes wrong in it."""

import mimetypes
import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "fixtures"
SCREENSHOTS = ROOT / "target/screenshots"
PROGRAM = ROOT / os.environ.get("TOUCHSTONE", "target/debug/touchstone")

# A desk's screen and a small telephone's.
SIZES = {"wide": (1280, 900), "narrow": (375, 800)}


@pytest.fixture(scope="session")
def registered_home(tmp_path_factory):
    """A home with all assets of the fixtures; copied, since registering takes seconds."""
    home = tmp_path_factory.mktemp("registered")
    subprocess.run([PROGRAM, "--home", home, "register", FIXTURES / "assets.csv"], check=True, capture_output=True)
    return home


@dataclass
class Server:
    """A running `touchstone serve`."""

    address: str
    process: subprocess.Popen
    # Of the first start, while there are no keys.
    link: str | None


def start(home, *flags):
    command = [PROGRAM, "--home", home, "serve", "--listen", "127.0.0.1:0", *flags]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    link = None
    for line in process.stderr:
        if "/sign-in?once=" in line:
            link = line.strip()
        found = re.search(r"listening on (http://\S+?),?\s", re.sub(r"\x1b\[[0-9;]*m", "", line))
        if found:
            # Unread lines would fill the pipe and stop the server.
            subprocess.Popen(["cat"], stdin=process.stderr, stdout=subprocess.DEVNULL)
            return Server(found.group(1), process, link)
    raise AssertionError(f"the server ended with {process.wait()}")


def stop(server):
    server.process.terminate()
    assert server.process.wait(timeout=20) == 0


@pytest.fixture
def empty_server(tmp_path):
    server = start(tmp_path / "home", "--open")
    yield server
    stop(server)


@pytest.fixture
def guarded_server(tmp_path, registered_home):
    """Asks for keys, of which there are none yet."""
    shutil.copytree(registered_home, tmp_path / "home")
    server = start(tmp_path / "home")
    yield server
    stop(server)


@pytest.fixture
def server(tmp_path, registered_home):
    shutil.copytree(registered_home, tmp_path / "home")
    server = start(tmp_path / "home", "--open")
    yield server
    stop(server)


@pytest.fixture(scope="session")
def browser():
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=arguments)
        yield browser
        browser.close()


@dataclass
class Tab:
    """A page with what its console said."""

    page: object
    complaints: list = field(default_factory=list)

    def look(self, name):
        """Keeps screenshots in both sizes and both colour schemes, and checks each: no accessibility
        violation, nothing wider than the screen."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        wrong = []
        for size, (width, height) in SIZES.items():
            self.page.set_viewport_size({"width": width, "height": height})
            for scheme in ("light", "dark"):
                self.page.emulate_media(color_scheme=scheme)
                view = f"{name}-{size}-{scheme}"
                wrong += [f"{view}: {fault}" for fault in self.faults()]
                self.page.screenshot(path=SCREENSHOTS / f"{view}.png", full_page=True)
        width, height = SIZES["wide"]
        self.page.set_viewport_size({"width": width, "height": height})
        assert not wrong, "\n".join(wrong)

    def faults(self):
        found = Axe().run(self.page).response["violations"]
        for violation in found:
            nodes = violation["nodes"]
            places = ", ".join(" ".join(node["target"]) for node in nodes[:5])
            yield f"{violation['id']}: {violation['help']}: {places}: {nodes[0]['failureSummary']}"
        wide, visible = self.page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
        if wide > visible:
            yield f"{wide} px wide on a screen of {visible} px"


@pytest.fixture
def tab(browser):
    """An empty page; the test fails when its console complains, of a breach of the policy too."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    tab = Tab(context.new_page())
    tab.page.set_default_timeout(30_000)
    tab.page.on("console", lambda message: message.type in ("error", "warning") and tab.complaints.append(message.text))
    tab.page.on("pageerror", lambda error: tab.complaints.append(str(error)))
    yield tab
    context.close()
    assert tab.complaints == []


def drop(page, selector, *paths):
    """Drops files on an element, as a person does from a folder."""
    files = [
        {"name": path.name, "type": mimetypes.guess_type(path)[0] or "", "bytes": list(path.read_bytes())}
        for path in paths
    ]
    transfer = page.evaluate_handle(
        """files => {
            const transfer = new DataTransfer();
            for (const { name, type, bytes } of files) {
                transfer.items.add(new File([new Uint8Array(bytes)], name, { type }));
            }
            return transfer;
        }""",
        files,
    )
    page.dispatch_event(selector, "drop", {"dataTransfer": transfer})
