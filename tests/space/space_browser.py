"""A browser on the page, with the errors and requests that it makes."""

import os
import shutil
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Playwright


DIMENSIONS = ("activation", "valence", "dominance")
NAMES = ("chromium", "chromium-browser", "google-chrome")
# chromium's own business with other hosts
SILENCED = ("background-networking", "component-update", "sync")
QUIET = [*(f"--disable-{name}" for name in SILENCED), "--disable-quic", "--no-first-run"]


def launch(playwright: Playwright, microphone: Path) -> Browser:
    """Debian's chromium without a window; its microphone plays a wav file over and over."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip("no chromium is installed (on Debian: apt-get install chromium)")
    names = ("use-fake-device-for-media-stream", "use-fake-ui-for-media-stream", "use-file-for-fake-audio-capture")
    fake = [f"--{name}" for name in names]
    fake[-1] += f"={microphone}"
    return playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu", *QUIET, *fake])


# of its area to drop files, whose name for screen readers is not the text in it, and of its messages, buttons
# around a button
OF_GRADIO = (
    "label-content-name-mismatch (serious): .upload-container",
    "nested-interactive (serious): .toast-header",
)


class Visit:
    """One visitor's page, with errors of the console and scripts, and requests to other hosts (`strangers`)."""

    def __init__(self, browser: Browser, address: str, **options):
        options = {"viewport": {"width": 1100, "height": 900}, **options}
        self.context = browser.new_context(permissions=["microphone"], accept_downloads=True, **options)
        self.page = self.context.new_page()
        self.page.set_default_timeout(60_000)  # tests beside others on few cores are slow
        self.errors: list[str] = []
        self.strangers: list[str] = []
        self._late_progress = False
        host = urlsplit(address).netloc
        self.page.on("console", self._console)
        # without a listener a click on "Upload" opens chromium's own dialogue, which has no window and is cancelled at
        # once; a listener that is added just before the click comes too late at times
        self.page.on("filechooser", lambda chooser: None)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.context.on("request", lambda request: self._request(request.url, host))
        self.page.goto(address)
        self.page.wait_for_selector("#clip input[type=file]", state="attached")

    def upload(self, path: Path | dict, clip: str = "#clip") -> None:
        """Give a file to a recording, in place of the one there; a dict is one that Playwright makes up."""
        chosen = self.page.locator(f"{clip} input[type=file]")
        if not chosen.count():
            self.page.locator(clip).get_by_label("Clear").click()
        chosen.set_input_files(path)

    def numbers(self, where: str = "#numbers") -> dict[str, float]:
        """The three values in full precision."""
        values = {}
        for name in DIMENSIONS:
            card = f'{where} [data-name="{name}"]'
            values[name] = float(
                self.page.locator(f"{card}[data-value], {card} [data-value]").get_attribute("data-value")
            )
        return values

    def messages(self) -> list[str]:
        """All that the page says has gone wrong."""
        found = self.page.locator("[role=alert]:visible, .toast-body:visible").all()
        return [" ".join(element.inner_text().split()) for element in found]

    def barriers(self) -> list[str]:
        """What axe-core finds in the way of visitors with disabilities, once it is loaded, but for gradio's own."""
        self.page.wait_for_selector(".loading", state="hidden")  # stands outside every region of the page
        found = [
            f"{rule['id']} ({rule['impact']}): {', '.join(map(str, node['target']))}"
            for rule in Axe().run(self.page).response["violations"]
            for node in rule["nodes"]
        ]
        return [line for line in found if line not in OF_GRADIO]

    def screenshot(self, name: str) -> None:
        """Of the whole page, where the variable SCREENSHOTS names a folder."""
        folder = os.environ.get("SCREENSHOTS")
        if folder:
            self.page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type != "error":
            return
        # gradio asks how far an upload is when a short one has ended: a 404, and the answer to it
        if "upload_progress" in message.location["url"]:
            self._late_progress = True
        elif not (self._late_progress and message.text == "Response"):
            self.errors.append(f"{message.text} ({message.location['url']})")

    def _request(self, url: str, host: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("data", "blob") and parts.netloc != host:
            self.strangers.append(url)
