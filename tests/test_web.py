"""`vtcli web`: the page in a real browser, and the HTTP API that it uses."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import skimage.data
from conftest import Ended
from PIL import Image

from vtcli import TryOn
from vtcli.web.server import create_app
from vtcli.web.service import Results

ROOT = Path(__file__).resolve().parent.parent
SAMPLES = ROOT / "sample_data"
PERSON, CLOTH = SAMPLES / "person.jpg", SAMPLES / "cloth.jpg"
CLOTHS = sorted((SAMPLES / "test" / "cloth").glob("*.jpg"))
Form = list[tuple[str, tuple[str, bytes, str]]]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The page of a server of its own, at a free port."""
    command = [sys.executable, "-m", "vtcli", "web", "--port", "0", "--device", "cpu"]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert server.stderr is not None
    said = server.stderr.readline()
    found = re.search(r"http://\S+", said)
    assert found, said + server.stderr.read()
    yield found[0]
    server.terminate()
    server.wait(30)


@pytest.fixture(scope="module")
def small() -> bytes:
    """A person of 512×384, as a file's bytes: quick to dress."""
    return encoded(Image.open(PERSON).convert("RGB").resize((384, 512), Image.Resampling.LANCZOS))


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    data = io.BytesIO()
    image.save(data, kind)
    return data.getvalue()


def form(person: bytes, *cloths: bytes, **masks: bytes) -> Form:
    files = [("person", person), *(("cloth", cloth) for cloth in cloths), *masks.items()]
    return [(name, (f"{name}.png", data, "image/png")) for name, data in files]


def try_on(address: str, files: Form, **fields: str) -> list[dict[str, Any]]:
    answer = httpx.post(f"{address}/api/tryon", files=files, data=fields, timeout=300)
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


def picture(address: str, event: dict[str, Any], name: str = "image.png") -> Image.Image:
    return Image.open(io.BytesIO(httpx.get(f"{address}/api/results/{event['id']}/{name}").content))


def test_the_api_makes_the_librarys_picture(address: str, small: bytes) -> None:
    events = try_on(
        address, form(small, CLOTH.read_bytes(), CLOTHS[0].read_bytes(), encoded(Image.new("RGB", (9, 9))))
    )
    kinds = [event["event"] for event in events]
    assert kinds[0] == "queued" and kinds[-1] == "done" and kinds.count("working") >= 6
    made = [event for event in events if event["event"] == "result"]
    assert [event["cloth"] for event in made] == [0, 1]
    refused = [event for event in events if event["event"] == "refused"]
    assert len(refused) == 1 and refused[0]["cloth"] == 2 and "force" in refused[0]["helps"]
    photo = Image.open(io.BytesIO(small))
    shown = picture(address, made[0])
    assert shown.size == photo.size and picture(address, made[0], "before.jpg").size == photo.size
    far = np.abs(np.asarray(shown).astype(int) - np.asarray(TryOn.load(device="cpu")(photo, CLOTH)))
    assert far.mean() < 0.1  # as many threads as the machine has, not one as here
    assert picture(address, made[0], "panel.jpg").width > 1000
    httpx.post(f"{address}/api/forget", content=made[0]["id"])
    assert httpx.get(f"{address}/api/results/{made[0]['id']}/image.png").status_code == 404
    assert httpx.get(f"{address}/api/results/{made[1]['id']}/image.png").status_code == 200


def test_masks_and_force(address: str, small: bytes) -> None:
    photo = np.asarray(Image.open(io.BytesIO(small)))
    mask = np.zeros(photo.shape[:2], np.uint8)
    mask[150:320, 180:210] = 255
    masked = form(small, CLOTH.read_bytes(), protect=encoded(Image.fromarray(mask)))
    (made,) = [event for event in try_on(address, masked) if event["event"] == "result"]
    assert np.array_equal(np.asarray(picture(address, made))[mask > 0], photo[mask > 0])
    empty = form(small, CLOTH.read_bytes(), redraw=encoded(Image.fromarray(0 * mask)))
    (refused,) = [event for event in try_on(address, empty) if event["event"] == "refused"]
    assert refused["picture"] == "mask" and "empty" in refused["message"]
    assert any(event["event"] == "result" for event in try_on(address, empty, force="1"))


def test_twenty_at_once_are_all_answered(address: str, small: bytes) -> None:
    def ask(number: int) -> list[dict[str, Any]]:
        # the quicker of the two ways to compose: it is the queue that is tried
        return try_on(address, form(small, CLOTHS[number % 3].read_bytes()), keep="head")

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(ask, range(20)))
    for events in answers:
        assert sum(event["event"] == "result" for event in events) == 1 and events[-1]["event"] == "done"
    assert max(event.get("ahead", 0) for events in answers for event in events) >= 10, (
        "they were told to wait"
    )


def bomb() -> bytes:
    """A PNG of 30,000×30,000 pixels in a few bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    side = (30_000).to_bytes(4, "big")
    header = chunk(b"IHDR", side + side + bytes([8, 2, 0, 0, 0]))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(90_001))) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("person", "said"),
    [(b"no picture at all", "not a picture"), (b"", "empty"), (bomb(), "too many pixels"),
     (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n%%EndComments\n%%EOF\n", "not taken here"),
     (encoded(Image.new("RGB", (300, 400), "grey")), "no person found")],
)  # fmt: skip
def test_unfit_uploads_are_refused_in_words(address: str, person: bytes, said: str) -> None:
    events = try_on(address, form(person, CLOTH.read_bytes()))
    assert [event["event"] for event in events if event["event"] in ("result", "refused")] == ["refused"]
    (refused,) = [event for event in events if event["event"] == "refused"]
    assert said in refused["message"] and not re.search(r"--\w", refused["message"])


def test_calls_that_are_off(address: str, small: bytes) -> None:
    url = f"{address}/api/tryon"
    assert httpx.post(url, content=b"x").status_code == 415
    assert httpx.post(url, files=form(small)).status_code == 400
    assert httpx.post(url, files=form(small, *[b"x"] * 14)).status_code == 400
    assert httpx.post(url, files=form(small, b"x"), data={"keep": "feet"}).status_code == 400
    assert httpx.post(url, files=form(small, b"x"), data={"number": "0"}).status_code == 400
    assert httpx.post(url, files=form(small, bytes(41 * 2**20))).status_code == 413
    assert (
        httpx.post(url, files=form(small, b"x"), headers={"Origin": "http://elsewhere.example"}).status_code
        == 403
    )
    assert httpx.get(address, headers={"Host": "elsewhere.example"}).status_code == 400
    for path in (
        "/examples/sample_data/../pyproject.toml",
        "/examples/sample_data/README.md",
        "/static/../server.py",
    ):
        assert httpx.get(address + path).status_code == 404
    assert httpx.get(f"{address}/api/results/none/image.png").status_code == 404


def test_nothing_is_loaded_from_elsewhere(address: str) -> None:
    page = httpx.get(address)
    assert "default-src 'none'" in page.headers["content-security-policy"]
    for text in (
        page.text,
        *(httpx.get(f"{address}/static/{name}").text for name in ("app.js", "style.css")),
    ):
        assert not re.search(r"https?://|//\w+\.\w", re.sub(r"(?m)^\s*//.*$", "", text))


def test_uploads_never_reach_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forms with large files go to temporary files by default."""

    def to_disk(_file: object) -> None:
        raise AssertionError("an upload was written to the disk")

    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "rollover", to_disk)
    noise = np.random.default_rng(0).integers(0, 256, (1400, 1050, 3), dtype=np.uint8)
    files = form(encoded(Image.fromarray(noise)), CLOTH.read_bytes())
    assert len(files[0][1][1]) > 4 * 2**20
    transport = httpx.ASGITransport(create_app(TryOn.load(device="cpu")))

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.post("/api/tryon", files=files, timeout=300)

    answer = asyncio.run(ask())
    assert answer.status_code == 200 and '"event": "done"' in answer.text


def test_results_are_held_for_a_while() -> None:
    results = Results(most_bytes=1000, most_seconds=0.2)
    first, second = results.add({"image.png": bytes(600)}), results.add({"image.png": bytes(600)})
    assert results.get(first, "image.png") is None and results.get(second, "image.png") == bytes(600)
    time.sleep(0.25)
    assert results.get(second, "image.png") is None and len(results) == 0


def test_without_the_extra_one_line_says_what_to_install(
    vtcli: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    ended = vtcli("web")
    assert ended.code == 1 and "pip install -e '.[web]'" in ended.err and len(ended.err.splitlines()) == 1


def test_a_port_that_is_taken(vtcli: Callable[..., Ended], address: str) -> None:
    ended = vtcli("web", "--port", address.rpartition(":")[2])
    assert ended.code == 2 and "choose another" in ended.err and len(ended.err.splitlines()) == 1


# ---- in a browser ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Headless Chromium that reaches this machine alone, and says all that its console hears."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("no Chromium here (Debian: apt-get install chromium chromium-driver)")
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    from selenium.webdriver.chrome.service import Service

    folder = tmp_path_factory.mktemp("browser")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", f"--user-data-dir={folder / 'profile'}",
    ):  # fmt: skip
        options.add_argument(flag)
    options.add_experimental_option("prefs", {"download.default_directory": str(folder / "downloads")})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    opened = webdriver.Chrome(options=options, service=Service(driver))
    opened.downloads = folder / "downloads"
    yield opened
    opened.quit()


class Page:
    """The page in a browser of a certain width."""

    def __init__(self, browser: Any, address: str, width: int = 1280, dark: bool = False) -> None:
        self.browser, self.address, self.width = browser, address, width
        mobile = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", mobile)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        browser.get("about:blank")
        browser.get_log("browser"), browser.get_log("performance")
        browser.get(address)

    def all(self, css: str) -> list[Any]:
        return self.browser.find_elements("css selector", css)

    def one(self, css: str) -> Any:
        return self.browser.find_element("css selector", css)

    def until(self, what: Callable[[], Any], seconds: float = 120) -> Any:
        end = time.monotonic() + seconds
        while not (found := what()):
            assert time.monotonic() < end, self.one("#status").text
            time.sleep(0.1)
        return found

    def upload(self, person: Path, *cloths: Path) -> None:
        self.one("#person-file").send_keys(str(person))
        self.one("#cloth-file").send_keys("\n".join(map(str, cloths)))

    def go(self) -> None:
        """Press the button once it stays where it is: what is drawn above it late would move it from under the pointer."""
        places: list[Any] = []

        def rests() -> bool:
            places.append(self.one("#go").rect)
            return len(places) > 2 and places[-1] == places[-2] == places[-3]

        self.until(lambda: self.one("#go").is_enabled(), 20)
        self.until(rests, 20)
        self.one("#go").click()

    def wide(self) -> int:
        """How far the page's content reaches beyond the screen, in pixels; a phone's window grows with its content."""
        wide: int = self.browser.execute_script("return document.documentElement.scrollWidth")
        return wide - self.width

    def is_clean(self) -> None:
        """The console is silent, and no request went anywhere else."""
        assert self.browser.get_log("browser") == []
        for entry in self.browser.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                url = message["params"]["request"]["url"]
                assert url.startswith((self.address, "blob:", "data:", "about:")), url

    def shoot(self, name: str) -> None:
        """Keep a picture of the page where VTCLI_SCREENSHOTS says so."""
        if folder := os.environ.get("VTCLI_SCREENSHOTS"):
            height = self.browser.execute_script("return document.documentElement.scrollHeight")
            width = self.browser.execute_script("return window.innerWidth")
            clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
            shot = self.browser.execute_cdp_cmd(
                "Page.captureScreenshot", {"clip": clip, "captureBeyondViewport": True}
            )
            import base64

            Path(folder, name).write_bytes(base64.b64decode(shot["data"]))


def loaded(page: Page, css: str) -> bool:
    return page.browser.execute_script(
        "return [...document.querySelectorAll(arguments[0])].every(i => i.complete && i.naturalWidth > 0)",
        css,
    )


@pytest.fixture(scope="module")
def person_file(small: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("photos") / "person.png"
    file.write_bytes(small)
    return file


def test_upload_compare_and_download(browser: Any, address: str, person_file: Path, tmp_path: Path) -> None:
    page = Page(browser, address)
    assert not page.one("#go").is_enabled()
    page.upload(person_file, CLOTH, CLOTHS[1])
    assert len(page.all(".tile")) == 2
    page.go()
    page.until(lambda: len(page.all("#results article")) == 2 and "2 pictures" in page.one("#status").text)
    page.until(lambda: loaded(page, ".compare img"), 20)
    assert "Confidence" in page.one(".words").text and "384 × 512" in page.one(".words").text
    slider = page.one(".compare input")
    slider.send_keys(*["\ue014"] * 50)  # arrow right
    assert int(slider.get_attribute("value")) == 50
    assert "50%" in page.one(".compare .before").get_attribute("style")
    page.shoot("desktop.png")
    page.one("details.panel summary").click()
    page.until(
        lambda: page.one("details.panel img").is_displayed() and loaded(page, "details.panel[open] img"), 20
    )
    page.one(".download").click()
    saved = page.until(lambda: list(browser.downloads.glob("*.png")), 20)
    with Image.open(saved[0]) as image:
        assert image.size == (384, 512)
    page.is_clean()


def test_refusals_in_words_and_going_on_all_the_same(
    browser: Any, address: str, person_file: Path, tmp_path: Path
) -> None:
    page = Page(browser, address)
    Image.fromarray(skimage.data.coffee()).save(tmp_path / "cup.png")
    page.upload(person_file, tmp_path / "cup.png")
    page.go()
    page.until(lambda: page.all(".refused"))
    assert "garment's picture shows" in page.one(".refused .words").text
    page.shoot("refusal.png")
    page.until(lambda: page.one("#go").is_enabled())
    page.one(".refused .again").click()
    page.until(lambda: page.all(".compare"))
    assert not page.all(".refused")
    page.is_clean()


def test_a_phone_with_an_example(browser: Any, address: str) -> None:
    page = Page(browser, address, 390, dark=True)
    assert page.wide() <= 0
    page.until(lambda: len(page.all("#person-examples button")) > 3)
    page.one("#example").click()
    page.until(lambda: page.all(".compare"))
    page.until(lambda: loaded(page, ".compare img"), 20)
    page.one("#more summary").click()
    page.shoot("phone.png")
    assert page.wide() <= 0
    background = page.browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert max(map(int, re.findall(r"\d+", background)[:3])) < 60, "dark"
    page.is_clean()


def test_one_of_several_people_and_paint(browser: Any, address: str, small: bytes, tmp_path: Path) -> None:
    person = Image.open(io.BytesIO(small))
    other = (
        Image.open(sorted((SAMPLES / "test" / "image").glob("*.jpg"))[0]).convert("RGB").resize((240, 320))
    )
    scene = Image.new("RGB", (900, 520), person.getpixel((3, 3)))
    scene.paste(person, (20, 8))
    scene.paste(other, (560, 190))
    scene.save(tmp_path / "two.png")
    page = Page(browser, address)
    page.upload(tmp_path / "two.png", CLOTH)
    page.until(lambda: len(page.all(".box")) == 2)
    page.all(".box")[1].click()
    assert page.all(".box")[1].get_attribute("aria-pressed") == "true"
    page.shoot("people.png")
    page.one("#more summary").click()
    page.one("input[name=brush][value=protect]").click()
    paint = page.one("#paint")
    box = page.browser.execute_script(
        "const r = arguments[0].getBoundingClientRect(); return [r.width, r.height]", paint
    )
    from selenium.webdriver import ActionChains

    # A stroke across the second person's chest.
    across, down = (660 / 900 - 0.5) * box[0], (330 / 520 - 0.5) * box[1]
    actions = ActionChains(page.browser).move_to_element_with_offset(paint, across, down).click_and_hold()
    actions.move_by_offset(20, 0).release().perform()
    page.shoot("paint.png")
    page.go()
    page.until(lambda: page.all(".compare"))
    made = httpx.get(page.one(".after").get_attribute("src")).content
    changed = (np.asarray(Image.open(io.BytesIO(made))) != np.asarray(scene)).any(2)
    assert not changed[:, :430].any() and changed[:, 540:].mean() > 0.02
    assert not changed[328:332, 655:668].any(), "painted"
    page.is_clean()


def test_by_keyboard_and_with_the_camera(browser: Any, address: str) -> None:
    page = Page(browser, address)
    reached: list[str] = []
    page.until(lambda: len(page.all("#cloth-examples button")) > 3)
    for _ in range(40):
        browser.switch_to.active_element.send_keys("\ue004")  # tab
        reached.append(browser.switch_to.active_element.get_attribute("id"))
    assert {"person-pick", "camera-open", "cloth-pick", "example"} <= set(reached)
    page.one("#camera-open").click()
    page.until(lambda: browser.execute_script("return document.getElementById('video').videoWidth > 0"), 20)
    page.one("#camera-take").click()
    page.until(lambda: page.one("#person-stage").is_displayed(), 20)
    page.until(lambda: page.one("#person-note").text, 60)
    page.is_clean()
