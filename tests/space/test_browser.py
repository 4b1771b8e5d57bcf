"""The page in a browser: what a visitor sees, plays and downloads; light, dark, on a phone, and by keyboard alone.

Needs chromium (`apt-get install chromium`). SCREENSHOTS=FOLDER keeps pictures of the page.
"""

import csv
import json
import re
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from playwright.sync_api import expect, sync_playwright
from space_browser import DIMENSIONS, Visit, launch
from space_server import voice
from transformers import pipeline


RATE = 16000
# changes of the numbers in live mode, in milliseconds of the page's clock
WATCH = """() => {
  window.changes = [];
  let before = "";
  const look = () => {
    const values = [...document.querySelectorAll("#live_numbers [data-value]")].map((one) => one.dataset.value).join();
    if (values && values !== before) window.changes.push(performance.now());
    before = values;
  };
  new MutationObserver(look).observe(document.body, {subtree: true, childList: true, attributes: true});
}"""
PLAYED = "(from_s) => [...document.querySelectorAll('audio')].some((one) => !one.paused && one.currentTime > from_s)"
FOCUS = """() => {
  const focused = document.activeElement;
  const around = focused.closest("[id]:not(body)");
  return {tag: focused.tagName.toLowerCase(), id: around ? around.id : "", text: focused.innerText || ""};
}"""


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> dict[str, Path]:
    """By name: two of 5 s, one of 12 s, and all that is no recording."""
    folder = tmp_path_factory.mktemp("clips")
    for seed, (name, seconds) in enumerate((("one", 5), ("two", 5), ("long", 12))):
        soundfile.write(folder / f"{name}.wav", voice(seconds, RATE, seed), RATE)
    (folder / "text.wav").write_text("These are words, and no sound.\n" * 100)
    (folder / "empty.wav").touch()
    soundfile.write(folder / "no_samples.wav", np.zeros(0), RATE)
    with soundfile.SoundFile(folder / "three_hours.flac", "w", RATE, 1) as file:
        for _ in range(18):
            file.write(np.zeros(600 * RATE, np.int16))
    with open(folder / "large.wav", "wb") as file:
        file.truncate(3_000_000)
    return {path.stem: path for path in folder.iterdir()}


@pytest.fixture(scope="module")
def browser(clips):
    with sync_playwright() as playwright:
        running = launch(playwright, clips["long"])
        yield running
        running.close()


@pytest.fixture
def visit(browser, server):
    """Makes visits; after each test nothing may have gone wrong in any of them."""
    visits = []

    def make(**options) -> Visit:
        visits.append(Visit(browser, server[0], **options))
        return visits[-1]

    yield make
    for each in visits:
        each.context.close()
        assert (each.errors, each.strangers) == ([], [])


def close_to(values: dict) -> object:
    """The pipeline's values, up to rounding in batches of another size."""
    return pytest.approx({name: values[name] for name in DIMENSIONS}, abs=1e-4)


def test_the_first_result_comes_within_a_second_of_the_upload(visit, clips):
    taken = []
    for _ in range(3):
        one = visit()
        start = time.perf_counter()
        one.upload(clips["one"])
        one.page.wait_for_selector("#numbers [data-value]")
        taken.append(time.perf_counter() - start)
    assert min(taken) < 1.0, taken  # others may be at work on this machine


def test_numbers_and_plane_follow_the_clip(visit, clips, expected):
    one = visit()
    one.upload(clips["one"])
    one.page.wait_for_selector("#numbers [data-value]")
    first = expected(str(clips["one"]))
    assert one.numbers() == close_to(first)
    expect(one.page.locator("#numbers")).to_contain_text(f"{first['valence']:.2f}")
    plane, curve = one.page.inner_html("#plane"), one.page.inner_html("#curve")
    assert plane.count("<svg") == 1 and "happy" in plane and curve.count("<svg") == 1
    one.upload(clips["two"])
    second = expected(str(clips["two"]))
    expect(one.page.locator("#numbers")).to_contain_text(f"{second['valence']:.2f}")
    assert one.numbers() == close_to(second)
    assert one.page.inner_html("#plane") != plane and one.page.inner_html("#curve") != curve
    assert one.messages() == []


def test_table_and_downloads_are_the_pipelines_windows(visit, clips, expected):
    one = visit()
    one.upload(clips["long"])
    one.page.wait_for_selector("#numbers [data-value]")
    rows = {}
    for kind in ("csv", "json"):
        with one.page.expect_download() as started:
            one.page.click(f"#download_{kind}")
        assert started.value.suggested_filename.endswith(f".{kind}")
        rows[kind] = Path(started.value.path()).read_text()
    table = [{name: float(text) for name, text in row.items()} for row in csv.DictReader(rows["csv"].splitlines())]
    window_s, hop_s = table[0]["end_s"] - table[0]["start_s"], table[1]["start_s"] - table[0]["start_s"]
    windows = expected(str(clips["long"]), window_s=window_s, hop_s=hop_s)
    assert len(table) == len(windows) > 4
    for row, window in zip(table, windows, strict=True):
        assert row == pytest.approx({name: window[name] for name in row}, abs=1e-4)
    answer = json.loads(rows["json"])
    assert answer["windows"] == [pytest.approx(window, abs=1e-4) for window in windows]
    assert answer["estimate"] == pytest.approx(expected(str(clips["long"])), abs=1e-4)
    shown = one.page.locator("#segments tbody tr")
    assert shown.count() == len(table)
    assert f"{windows[0]['valence']:.2f}" in shown.first.text_content()


def test_the_curve_is_read_and_played_from(visit, clips):
    one = visit()
    one.upload(clips["long"])
    curve = one.page.locator("#curve svg")
    curve.scroll_into_view_if_needed()
    box = curve.bounding_box()
    read = []
    for share in (0.25, 0.75):
        one.page.mouse.move(box["x"] + share * box["width"], box["y"] + box["height"] / 2)
        read.append(one.page.inner_text(".reading"))
    assert read[0] != read[1] and all(name in read[0] for name in DIMENSIONS)
    one.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    one.page.wait_for_function(PLAYED, arg=4)
    assert not one.page.evaluate(PLAYED, 10)


def test_an_example(visit):
    one = visit()
    one.page.get_by_role("button", name="Example").first.click()
    one.page.wait_for_selector("#numbers [data-value]")
    assert all(1 <= value <= 7 for value in one.numbers().values())


def test_teacher_and_student_side_by_side(visit, clips, expected, teacher):
    one = visit()
    one.page.get_by_role("tab", name="Compare").click()
    one.upload(clips["one"], "#compare_clip")
    one.page.wait_for_selector("#compare_table tbody tr")
    rows = one.page.locator("#compare_table tbody tr").all()
    pipelines = {"small_student": expected, "teacher": pipeline("speech-emotion-regression", model=str(teacher))}
    for row, (name, estimate) in zip(rows, pipelines.items(), strict=True):
        text, values = row.inner_text(), estimate(str(clips["one"]))
        assert name in text and "ms" in text
        assert [f"{values[dimension]:.2f}" in text for dimension in DIMENSIONS] == [True] * 3


def duration_s(page) -> float:
    """Seconds of audio behind the numbers of live mode."""
    return float(page.get_attribute("#live_numbers", "data-seconds"))


def settled(read, page) -> float:
    """A value of the page, once it has not changed for a second."""
    before, now = None, read(page)
    for _ in range(20):
        if now == before:
            break
        page.wait_for_timeout(1000)
        before, now = now, read(page)
    return now


def test_live(visit, server):
    before = set(server[2].rglob("*"))
    one = visit()
    one.page.get_by_role("tab", name="Live").click()
    one.page.evaluate(WATCH)
    one.page.locator("#live").get_by_role("button", name="Record").click()
    one.page.wait_for_selector("#live_numbers [data-value]")
    start, first = time.perf_counter(), duration_s(one.page)
    one.page.evaluate("() => { window.changes.length = 0 }")
    one.page.wait_for_timeout(6000)
    changes = one.page.evaluate("() => window.changes")
    assert len(changes) >= 6, f"{len(changes)} changes in 6 s: {changes}"
    assert one.page.locator("#live_plane svg").count() == 1 and one.page.locator("#live_curve svg").count() == 1
    assert one.barriers() == []
    one.screenshot("live")
    one.page.locator("#live").get_by_role("button", name="Stop").click()
    passed_s = time.perf_counter() - start
    seconds = settled(duration_s, one.page)
    # what was waiting at the start and at the end counts as well
    assert 0.8 * passed_s < seconds - first < passed_s + 2
    one.page.locator("#live").get_by_role("button", name="Record").click()
    again = (
        f"() => Number((document.querySelector('#live_numbers') || {{dataset: {{}}}}).dataset.seconds) < {seconds - 1}"
    )
    one.page.wait_for_function(again)
    one.page.locator("#live").get_by_role("button", name="Stop").click()
    settled(duration_s, one.page)
    assert one.messages() == []
    assert [path for path in server[2].rglob("*") if path.is_file() and path not in before] == []


def test_the_live_curve_is_read_by_keyboard_while_it_moves(visit):
    one = visit()
    page = one.page
    page.get_by_role("tab", name="Live").click()
    page.locator("#live").get_by_role("button", name="Record").click()
    curve = page.locator("#live_curve svg")
    curve.wait_for()
    curve.focus()
    page.keyboard.press("ArrowRight")
    before = duration_s(page), curve.get_attribute("data-points")  # in this order: either may grow in between
    changed = "(points) => document.querySelector('#live_curve svg').dataset.points !== points"
    page.wait_for_function(changed, arg=before[1])
    assert duration_s(page) > before[0]
    assert curve.evaluate("(svg) => svg === document.activeElement")
    assert curve.get_attribute("aria-valuenow") == "0.50"
    assert page.inner_text('#live_curve [data-key="time"]') == "at 0.5 s"
    assert curve.locator(".cursor").get_attribute("visibility") == "visible"
    page.locator("#live").get_by_role("button", name="Stop").click()
    settled(duration_s, page)
    assert one.messages() == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("text", "cannot be read as audio"),
        ("empty", "is empty"),
        ("no_samples", "at least 0.1 s"),
        ("three_hours", "lasts 3:00:00"),
        ("large", "exceed the maximum allowed size of 1.9 Mb"),
    ],
)
def test_a_bad_file_gets_one_message_and_the_next_one_an_estimate(visit, clips, expected, name, message):
    one = visit()
    one.upload(clips[name])
    one.page.wait_for_selector("#message, .toast-body")
    one.page.wait_for_timeout(300)
    messages = one.messages()
    assert len(messages) == 1 and message in messages[0]
    assert one.barriers() == []
    assert not any(word in messages[0] for word in ("Traceback", str(clips[name].parent), "/tmp", "Error:"))
    one.upload(clips["one"])
    one.page.wait_for_selector("#numbers [data-value]")
    assert one.numbers() == close_to(expected(str(clips["one"])))
    assert one.page.locator("#message").count() == 0
    if name == "empty":
        one.errors.clear()  # the browser's player asks for a part of a file without any


def test_a_name_that_is_markup(visit, clips, expected):
    one = visit()
    dialogs = []
    one.page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    name = '"><img src=x onerror=alert(1)><b>.wav'
    one.upload({"name": name, "mimeType": "audio/wav", "buffer": clips["one"].read_bytes()})
    one.page.wait_for_selector("#numbers [data-value]")
    one.page.wait_for_timeout(300)
    assert one.numbers() == close_to(expected(str(clips["one"])))
    assert dialogs == [] and one.page.locator("img[src=x]").count() == 0


def tab_to(page, reached, most: int = 40) -> dict:
    """Press Tab until the focus is where `reached` says."""
    seen = []
    for _ in range(most):
        page.keyboard.press("Tab")
        focus = page.evaluate(FOCUS)
        seen.append(focus)
        if reached(focus):
            return focus
    raise AssertionError(f"{most} times Tab: {seen}")


def test_by_keyboard_alone(visit, clips):
    one = visit()
    page = one.page
    tab_to(page, lambda focus: focus["id"] == "clip" and "Upload" in focus["text"])
    with page.expect_file_chooser() as chosen:
        page.keyboard.press("Enter")
    chosen.value.set_files(clips["long"])
    page.wait_for_selector("#numbers [data-value]")
    page.evaluate("() => { document.querySelector('#numbers').dataset.before = true }")
    tab_to(page, lambda focus: focus["id"] == "estimate")
    page.keyboard.press("Enter")
    page.wait_for_selector("#numbers:not([data-before]) [data-value]")  # a new result closes the table of the old one
    tab_to(page, lambda focus: focus["tag"] == "svg")
    read = []
    for _ in range(2):
        for _ in range(3):
            page.keyboard.press("ArrowRight")
        read.append(page.locator("#curve svg").get_attribute("aria-valuetext"))
    assert read[0] != read[1] and "valence" in read[0]
    page.keyboard.press("Enter")
    page.wait_for_function(PLAYED, arg=2.5)
    tab_to(page, lambda focus: focus["tag"] == "summary")
    page.keyboard.press("Enter")
    expect(page.locator("#segments tbody tr").first).to_be_visible()
    tab_to(page, lambda focus: focus["id"] == "download_csv")
    with page.expect_download():
        page.keyboard.press("Enter")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("light", {"color_scheme": "light"}),
        ("dark", {"color_scheme": "dark"}),
        ("phone", {"color_scheme": "light", "viewport": {"width": 360, "height": 740}, "device_scale_factor": 2}),
    ],
)
def test_light_dark_and_phone(visit, clips, name, options):
    one = visit(**options)
    assert one.barriers() == []
    one.upload(clips["long"])
    one.page.wait_for_selector("#numbers [data-value]")
    one.page.locator("summary").click()
    one.page.wait_for_timeout(300)
    one.screenshot(name)
    colour = one.page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    assert (max(map(int, re.findall(r"\d+", colour)[:3])) < 80) == name.endswith("dark")
    for tab in ("Estimate", "Live", "Compare", "About"):
        tabs = one.page.get_by_role("tab", name=tab)
        if not tabs.is_visible():  # those that do not fit stand behind a button
            one.page.locator(".overflow-menu button").first.click()
            tabs = one.page.locator(".overflow-dropdown button", has_text=tab)
        tabs.click()
        one.page.wait_for_timeout(100)
        wide = one.page.evaluate("() => document.documentElement.scrollWidth - window.innerWidth")
        assert wide <= 0, f"{tab} is {wide} px wider than the window"
        if tab == "Compare":
            one.upload(clips["one"], "#compare_clip")
            one.page.wait_for_selector("#compare_table tbody tr")
        assert one.barriers() == []
        one.screenshot(f"{name}_{tab.lower()}")
