"""The page in a real browser: drawn on with mouse, finger and keys, read by eye and by axe."""

import math
import re
import time
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Playwright, expect, sync_playwright
from serving import DIGITS, Stroke, program, served

CHROMIUM = program("chromium", "google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine")

DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with served() as (address, _):
        yield address


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="module")
def browser(playwright) -> Iterator[Browser]:
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
    yield browser
    browser.close()


@pytest.fixture
def open_page(browser, address):
    """Return what opens the page; whatever it logs, or asks of others, fails the test."""
    contexts, complaints = [], []

    def open_page(path: str = "/", *, forgiving: bool = False, **options) -> Page:
        context = browser.new_context(**{"viewport": DESKTOP} | options)
        contexts.append(context)
        page = context.new_page()
        if not forgiving:
            page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "request",
            lambda request: (
                request.url.startswith((address, "blob:")) or complaints.append(request.url)
            ),
        )
        page.goto(address + path)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not complaints


def place(page: Page, digit: int, middle: float, width: float = 0.22) -> list[Stroke]:
    """Return a digit's strokes in pixels of the page, its middle at a share of the sheet."""
    box = page.locator("#drawing").bounding_box()
    side = min(box["width"] * width * 2, box["height"] * 0.8)
    left = box["x"] + middle * box["width"] - side / 2
    top = box["y"] + (box["height"] - side) / 2
    return [[(left + x * side, top + y * side) for x, y in stroke] for stroke in DIGITS[digit]]


def draw(page: Page, digit: int, middle: float = 0.5) -> None:
    """Draw a digit with the mouse."""
    for stroke in place(page, digit, middle):
        page.mouse.move(*stroke[0])
        page.mouse.down()
        for point in stroke[1:]:
            page.mouse.move(*point)
        page.mouse.up()


def draw_with_finger(page: Page, digit: int, middle: float = 0.5) -> None:
    """Draw a digit by touch."""
    client = page.context.new_cdp_session(page)
    for stroke in place(page, digit, middle):
        for kind, points in [("touchStart", stroke[:1]), *(("touchMove", [p]) for p in stroke[1:])]:
            touches = [{"x": x, "y": y} for x, y in points]
            client.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touches})
        client.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def test_digits_drawn_with_the_mouse_are_read(open_page):
    page = open_page()
    for digit in DIGITS:
        draw(page, digit)
        expect(page.locator("#text")).to_have_text(str(digit))
        sentence = f"{'An' if digit == 8 else 'A'} {digit}, "
        expect(page.locator("#say")).to_contain_text(sentence)
        best = page.locator("#bars .best")
        assert best.inner_text().split()[0] == str(digit)
        page.locator("#clear").click()
    assert page.locator("#bars li").count() == 10


def test_page_tells_how_well_the_network_reads(open_page):
    told = open_page().locator("#model")
    expect(told).to_contain_text("The network: 784 → 128 → 10, 101,770 weights.")
    sentence = r"Of 600 digits that it had never seen, it read [\d.]+% right\."
    expect(told).to_contain_text(re.compile(sentence))


def test_answer_is_told_to_screen_readers_after_a_pause(open_page):
    page = open_page()
    draw(page, 7)
    expect(page.locator("[role=status]")).to_have_text("Read: 7. A 7, surely.")
    assert page.locator("output").count() == 0  # which would tell every change on the way there


def test_screen_readers_hear_that_a_photo_is_being_read(open_page):
    page = open_page()
    page.route("**/v1/read*", lambda route: (time.sleep(1.5), route.continue_()))
    page.evaluate(HAND_OVER, [photo(page, 4, 3, 7), "photo.jpg", "drop"])
    told = page.locator("[role=status]")
    expect(told).to_have_text("Reading the photo…")
    heard = page.evaluate(
        """async () => {
            const heard = [], told = document.querySelector("[role=status]");
            new MutationObserver(() => heard.push(told.textContent)).observe(
                told, { childList: true });
            while (!heard.length) await new Promise((done) => setTimeout(done, 50));
            return heard;
        }"""
    )
    assert heard == ["Read: 437. 3 digits, one number."]


def test_digits_drawn_with_a_finger_make_a_number(open_page):
    page = open_page(viewport=PHONE, has_touch=True, is_mobile=True)
    for digit, middle in [(7, 0.2), (4, 0.5), (3, 0.8)]:
        draw_with_finger(page, digit, middle)
    expect(page.locator("#text")).to_have_text("743")
    expect(page.locator("#say")).to_have_text("3 digits, one number.")
    assert page.evaluate("scrollX + scrollY") == 0  # the finger drew and did not scroll
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    box = page.locator("#bars").bounding_box()
    assert box["y"] + box["height"] < PHONE["height"]  # sheet and answer are seen at once


def test_second_finger_changes_nothing(open_page):
    page = open_page(viewport=PHONE, has_touch=True, is_mobile=True)
    draw_with_finger(page, 7)
    alone = inked(page, "drawing")
    page.locator("#clear").click()
    client = page.context.new_cdp_session(page)
    (stroke,) = place(page, 7, 0.5)
    palm = {"x": stroke[0][0] + 5, "y": stroke[-1][1] + 60, "id": 1}

    def touch(kind: str, *points: dict) -> None:  # whoever is not named any more is lifted
        client.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", {"x": stroke[0][0], "y": stroke[0][1], "id": 0})
    for x, y in stroke[1:]:
        pen = {"x": x, "y": y, "id": 0}
        touch("touchMove", pen)
        touch("touchStart", pen, palm)
        palm = palm | {"x": palm["x"] + 3}
        touch("touchMove", pen, palm)
        touch("touchMove", pen)
    touch("touchEnd")
    expect(page.locator("#text")).to_have_text("7")
    assert abs(inked(page, "drawing") - alone) < 0.02 * alone


def test_phone_that_is_turned_shows_the_whole_drawing(open_page):
    page = open_page(viewport=PHONE, has_touch=True, is_mobile=True)
    box = page.locator("#drawing").bounding_box()
    client = page.context.new_cdp_session(page)
    for y in (0.1, 0.95):  # a 1 from top to bottom
        kind = "touchStart" if y < 0.5 else "touchMove"
        point = {"x": box["x"] + 0.5 * box["width"], "y": box["y"] + y * box["height"]}
        client.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [point]})
    client.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    expect(page.locator("#text")).to_have_text("1")
    assert not inked_at_the_foot(page)
    page.set_viewport_size({"width": PHONE["height"], "height": PHONE["width"]})
    page.wait_for_timeout(300)
    assert not inked_at_the_foot(page)
    expect(page.locator("#text")).to_have_text("1")


def inked_at_the_foot(page: Page) -> bool:
    """Return whether the lowest row of the sheet has ink, as where a stroke is cut off."""
    return page.evaluate(
        """() => {
            const { width, height } = document.getElementById("drawing");
            const context = document.getElementById("drawing").getContext("2d");
            return context.getImageData(0, height - 1, width, 1).data.some(Boolean);
        }"""
    )


def test_answer_comes_while_the_pen_is_down(open_page):
    page = open_page()
    (stroke,) = place(page, 7, 0.5)
    page.mouse.move(*stroke[0])
    page.mouse.down()
    for point in stroke[1:]:
        page.mouse.move(*point, steps=5)
    expect(page.locator("#text")).to_have_text("7")
    page.mouse.up()


def test_undo_and_clear(open_page):
    page = open_page()
    draw(page, 7, 0.25)
    draw(page, 5, 0.7)
    text = page.locator("#text")
    expect(text).to_have_text("75")
    page.locator("#undo").click()
    expect(text).to_have_text("7")
    page.keyboard.press("Control+z")
    expect(text).to_have_text("")
    expect(page.locator("#undo")).to_be_disabled()
    draw(page, 3)
    page.locator("#clear").click()
    expect(text).to_have_text("")
    expect(page.locator("#hint")).to_be_visible()


def test_pen_draws_as_wide_as_it_is_set(open_page):
    page = open_page()
    widths = []
    for width in ("12", "60"):
        page.locator("#width").fill(width)
        draw(page, 7)
        expect(page.locator("#text")).to_have_text("7")
        widths.append(inked(page, "drawing"))
        page.locator("#clear").click()
    thin, thick = widths
    assert 4 < thick / thin < 6


def test_digit_in_focus_is_chosen_by_button(open_page):
    page = open_page()
    draw(page, 7, 0.25)
    draw(page, 5, 0.7)
    first, second = page.locator("#digits button").all()
    expect(second).to_have_attribute("aria-pressed", "true")
    first.click()
    expect(first).to_have_attribute("aria-pressed", "true")
    expect(second).to_have_attribute("aria-pressed", "false")
    assert page.locator("#bars .best").inner_text().split()[0] == "7"
    expect(page.locator("#seen")).to_have_attribute(
        "aria-label", "7 as the network sees it, white on black"
    )


def test_keys_alone_draw_a_digit(open_page):
    page = open_page()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "drawing"
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    page.keyboard.press("Space")
    for _ in range(9):
        page.keyboard.press("ArrowRight")
    for step in range(17):
        page.keyboard.press("ArrowDown")
        if step % 3 == 2:
            page.keyboard.press("ArrowLeft")
    page.keyboard.press("Space")
    expect(page.locator("#text")).to_have_text("7")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "undo"
    page.keyboard.press("Enter")
    expect(page.locator("#text")).to_have_text("")


def test_key_held_down_sets_the_pen_down_once(open_page):
    page = open_page()
    page.locator("#drawing").focus()
    for _ in range(4):
        page.keyboard.down("Space")  # after the first one these are repeats
    page.keyboard.up("Space")
    for _ in range(12):
        page.keyboard.press("ArrowDown")
    expect(page.locator("#text")).to_have_text("1")
    page.keyboard.press("Control+Shift+z")
    page.wait_for_timeout(300)
    expect(page.locator("#text")).to_have_text("1")


def test_what_is_no_digit_is_said_to_be_none(open_page):
    page = open_page()
    box = page.locator("#drawing").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    for turn in range(60):  # a scribble
        page.mouse.move(x + 70 * math.cos(turn * 2.4), y + 70 * math.sin(turn * 2.1))
    page.mouse.up()
    expect(page.locator("#text")).to_have_text("?")
    expect(page.locator("#say")).to_have_text("That is no digit I know.")


def photo(page: Page, *digits: int) -> list[int]:
    """Return the bytes of a JPEG with these digits, drawn by the page's own browser."""
    script = """async (digits) => {
        const canvas = new OffscreenCanvas(900, 400);
        const context = canvas.getContext("2d");
        context.fillStyle = "#d8d2c4";
        context.fillRect(0, 0, 900, 400);
        context.lineWidth = 22;
        context.lineCap = context.lineJoin = "round";
        context.strokeStyle = "#26304a";
        digits.forEach((strokes, place) => strokes.forEach((stroke) => {
            context.beginPath();
            stroke.forEach(([x, y]) => context.lineTo(60 + 260 * place + 280 * x, 60 + 280 * y));
            context.stroke();
        }));
        const blob = await canvas.convertToBlob({ type: "image/jpeg", quality: 0.9 });
        return [...new Uint8Array(await blob.arrayBuffer())];
    }"""
    return page.evaluate(script, [DIGITS[digit] for digit in digits])


HAND_OVER = """([bytes, name, how]) => {
    const data = new DataTransfer();
    data.items.add(new File([new Uint8Array(bytes)], name, { type: "image/jpeg" }));
    const target = document.getElementById("drawing");
    const about = { bubbles: true, cancelable: true };
    if (how === "drop") {
        target.dispatchEvent(new DragEvent("dragover", { ...about, dataTransfer: data }));
        target.dispatchEvent(new DragEvent("drop", { ...about, dataTransfer: data }));
    } else target.dispatchEvent(new ClipboardEvent("paste", { ...about, clipboardData: data }));
}"""


@pytest.mark.parametrize("how", ["drop", "paste"])
def test_photo_dropped_or_pasted_is_read_and_its_boxes_drawn(open_page, how):
    page = open_page()
    page.evaluate(HAND_OVER, [photo(page, 4, 3, 7), "photo.jpg", how])
    expect(page.locator("#text")).to_have_text("437")
    assert inked(page, "marks") > 500
    draw(page, 5)  # in place of the photo
    expect(page.locator("#text")).to_have_text("5")


def test_undo_brings_back_what_a_photo_took_the_place_of(open_page):
    page = open_page()
    draw(page, 7)
    text = page.locator("#text")
    expect(text).to_have_text("7")
    for digits in ((4, 3), (5,)):
        page.evaluate(HAND_OVER, [photo(page, *digits), "photo.jpg", "drop"])
        expect(text).to_have_text("".join(map(str, digits)))
    page.locator("#undo").click()
    expect(text).to_have_text("7")


def test_answer_that_comes_too_late_is_not_shown(open_page):
    page = open_page()
    page.evaluate(
        """() => {
            const ask = fetch;
            window.fetch = async (...request) => {
                const answer = await ask(...request);
                if (!window.release) await new Promise((done) => { window.release = done; });
                return answer;
            };
            window.shown = [];
            const text = document.getElementById("text");
            new MutationObserver(() => window.shown.push(text.textContent)).observe(
                text, { childList: true });
        }"""
    )
    page.evaluate(HAND_OVER, [photo(page, 4, 3, 7), "photo.jpg", "drop"])
    page.evaluate(
        "async () => { while (!window.release) await new Promise((done) => setTimeout(done, 20)); }"
    )
    draw(page, 5)
    page.evaluate("window.release()")
    expect(page.locator("#text")).to_have_text("5")
    assert "437" not in page.evaluate("window.shown")


def test_photo_chosen_as_a_file_is_read(open_page):
    page = open_page()
    file = {"name": "a.jpg", "mimeType": "image/jpeg", "buffer": bytes(photo(page, 7, 5))}
    page.locator("#photo").set_input_files(file)
    expect(page.locator("#text")).to_have_text("75")


def inked(page: Page, name: str) -> int:
    """Return how many pixels of a canvas are not transparent."""
    return page.evaluate(
        """(name) => {
            const { width, height } = document.getElementById(name);
            const context = document.getElementById(name).getContext("2d");
            const { data } = context.getImageData(0, 0, width, height);
            return data.filter((value, place) => place % 4 === 3 && value).length;
        }""",
        name,
    )


def test_errors_of_the_server_are_shown_as_text(open_page):
    page = open_page(forgiving=True)  # the browser logs every answer of 422
    page.evaluate(HAND_OVER, [list(b"no picture <b>at all</b>"), "<img src=x>.jpg", "drop"])
    expect(page.locator("#problem")).to_contain_text("is empty, damaged or no picture")
    assert page.locator("#problem *").count() == 0


def test_server_that_has_gone_is_said_to_have_gone(open_page):
    page = open_page(forgiving=True)
    page.route("**/v1/read*", lambda route: route.abort())
    draw(page, 7)
    expect(page.locator("#problem")).to_have_text(
        "The server does not answer. Is it still running?"
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_everyone_can_use_the_page(open_page, size, scheme):
    page = open_page(viewport=size, color_scheme=scheme)
    assert not barriers(page)
    draw(page, 7, 0.25)
    draw(page, 5, 0.7)
    expect(page.locator("#text")).to_have_text("75")
    assert not barriers(page)
    assert page.evaluate("document.documentElement.scrollWidth") == size["width"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everyone_can_use_the_description_of_the_api(open_page, scheme):
    page = open_page("/docs", color_scheme=scheme)
    expect(page.locator("h2")).to_have_count(6)
    expect(page.locator("main")).to_contain_text("curl -F picture=@photo.jpg")
    assert not barriers(page)


def barriers(page: Page) -> list[str]:
    """Return what axe finds."""
    found = Axe().run(page).response["violations"]
    return [f"{violation['id']}: {violation['nodes'][0]['html']}" for violation in found]
