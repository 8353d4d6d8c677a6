"""The report stands alone, shows what it should, and lets no name become markup."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from score_samples import blur, make_results, make_store, run_score

from vtcli.core.data.labels import LIP_PALETTE
from vtcli.core.data.results import ResultsInfo
from vtcli.core.scoring import album
from vtcli.core.scoring.pictures import FilePicture
from vtcli.core.scoring.report import choose_extremes
from vtcli.core.system.errors import VtcliError

COUNT = 7
EVIL = '<img src=x onerror=alert(1)>"&$a^'
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two paired runs (one with M_exp and a mask, one with a name full of markup) and an unpaired one."""
    root = tmp_path_factory.mktemp("report")
    store = make_store(root / "store", COUNT, seen=(2,), size=(176, 132))
    plain = make_results(
        root / "plain", store, blur(0.5, 0.4), parse_shift=5, names=lambda name: f"{name}<b>{EVIL[:4]}"
    )
    (plain / "mask").mkdir()
    for i, pair in enumerate(ResultsInfo.load(plain).pairs):
        Image.new("L", (132, 176), 255 - 9 * i).save(plain / "mask" / f"{pair.name}.png")
    evil = make_results(root / EVIL, store, blur(2.2, 0.1), weights="b")
    info = ResultsInfo.load(evil)
    info.options = {"note": "</style><script>alert(2)</script>"}
    info.save(evil)
    unpaired = make_results(root / "unpaired", store, blur(1), paired=False)
    path = root / "report.html"
    result = run_score(plain, evil, unpaired, "--report", path, "--bootstrap", 50)
    assert result.exception is None, result.exception
    return path


class Page(HTMLParser):
    """Tags, attributes and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.links: list[str] = []
        self.words: list[str] = []
        self.style = ""
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self._inside = tag
        self.links += [
            value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "srcset", "action")
        ]
        assert not any(name.startswith("on") for name, _ in attrs)

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "style":
            self.style += data
        else:
            self.words.append(data)


def test_the_page_stands_alone_and_names_stay_text(report: Path) -> None:
    text = report.read_text()
    page = Page(text)
    assert page.tags["script"] == page.tags["img"] == page.tags["iframe"] == 0
    assert page.tags["b"] == text.count('<div class="panel">') > 0
    assert all(link.startswith(("data:", "#")) for link in page.links), page.links
    assert set(re.findall(r"url\(([^)]{5})", page.style)) == {"data:"}
    assert "default-src 'none'" in text
    words = "".join(page.words)
    assert words.count(EVIL) > 5
    assert "</style><script>alert(2)</script>" in words
    assert f"p0<b>{EVIL[:4]}" in words


def test_the_page_holds_table_panels_and_provenance(report: Path) -> None:
    page = Page(report.read_text())
    words = " ".join(" ".join(page.words).split())
    for expected in (
        "All pairs", "Unseen pairs", "SSIM ↑", "FD (Lite0) ↓", "Worst, median and best", "side by side",
        "M_exp", "mask", "person = reference", "b" * 64, "skimage.metrics.structural_similarity",
        "Paired (tryon)", "Unpaired (tryon)", "seen in training", "--inception-weights FILE",
    ):  # fmt: skip
        assert expected in words, expected
    assert page.tags["svg"] == 6  # given; SSIM and PSNR, whole and redrawn; M_exp: too small for MS-SSIM
    urls = re.findall(r"url\((data:image/webp[^)]+)\)", page.style)
    assert len(urls) == len(set(urls)) > 3 * COUNT


def test_extremes_are_the_extremes() -> None:
    values = np.array([0.5, np.nan, 0.1, 0.9, 0.3, 0.7, 0.2, 0.8])
    assert choose_extremes(values, "higher", 2) == [("worst", [2, 6]), ("median", [4, 0]), ("best", [7, 3])]
    assert choose_extremes(values, "lower", 1)[0] == ("worst", [3])
    for count in range(1, 8):
        rows = [row for _, band in choose_extremes(np.arange(float(count)), "higher", 4) for row in band]
        assert len(rows) == len(set(rows)) > 0


def test_pictures_keep_within_the_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    pictures = album.Album()
    for i in range(12):
        path = tmp_path / f"{i}.png"
        Image.fromarray(generator.integers(0, 256, (300, 200, 3), np.uint8)).save(path)
        assert pictures.add(FilePicture(path)) == pictures.add(FilePicture(path)) == i
    free = sum(map(len, pictures.data_urls()))
    monkeypatch.setattr(album, "BUDGET", free // 3)
    urls = pictures.data_urls()
    assert len(urls) == 12
    assert sum(map(len, urls)) <= free // 3


def test_maps_of_labels_are_shown_in_lips_colours(tmp_path: Path) -> None:
    Image.fromarray(np.array([[5, 13], [255, 0]], np.uint8)).save(tmp_path / "map.png")
    shown = album.LabelPicture(tmp_path / "map.png").read()
    np.testing.assert_array_equal(shown, LIP_PALETTE[np.array([[5, 13], [0, 0]])])


def test_absent_library_is_told_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = run_score(tmp_path / "none", "--report", tmp_path / "report.html")
    with pytest.raises(VtcliError, match=r"pip install -e '\.\[report\]'"):
        raise result.exception or AssertionError("no error")
    assert not (tmp_path / "report.html").exists()


PROBE = """<!doctype html><meta charset=utf-8><body>
<iframe id=frame style="border:0;height:900px;color-scheme:light"></iframe>
<div id=pictures>%(pictures)s</div>
<script id=page type="text/plain">%(page)s</script>
<script>
const frame = document.getElementById('frame'), found = {widths: {}};
const escaped = document.getElementById('page').textContent;
frame.srcdoc = new DOMParser().parseFromString(escaped, 'text/html').body.textContent;
const look = () => {
  const d = frame.contentDocument, w = frame.contentWindow;
  for (const width of [1280, 390]) {
    frame.style.width = width + 'px';
    found.widths[width] = d.documentElement.scrollWidth - d.documentElement.clientWidth;
  }
  const pics = [...d.querySelectorAll('.pic')];
  found.shown = new Set(pics.map(p => w.getComputedStyle(p).backgroundImage)).size;
  found.loaded = [...document.images].filter(i => i.complete && i.naturalWidth > 0).length;
  found.flat = pics.filter(p => p.checkVisibility() && p.getBoundingClientRect().height < 40).length;
  const label = d.querySelector('label.tile'), over = label.querySelector('.over');
  found.before = w.getComputedStyle(over).opacity;
  label.click();
  found.after = w.getComputedStyle(over).opacity;
  found.light = w.getComputedStyle(d.body).backgroundColor;
  frame.style.colorScheme = 'dark';
  void frame.offsetWidth;
  found.dark = w.getComputedStyle(d.body).backgroundColor;
};
window.onload = () => {
  try { look(); } catch (problem) { found.problem = String(problem); }
  const out = document.createElement('output');
  out.textContent = JSON.stringify(found);
  document.body.replaceChildren(out);
};
</script>
"""


def test_eight_runs_in_one_report(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", 3, size=(176, 132))
    runs = [
        make_results(tmp_path / f"run-{i}", store, blur(0.4 + 0.2 * i), parse_shift=i, weights="ab"[i % 2])
        for i in range(8)
    ]
    path = tmp_path / "report.html"
    result = run_score(*runs, "--report", path, "--bootstrap", 20, "--jobs", 1)
    assert result.exception is None, result.exception
    page = Page(path.read_text())
    words = " ".join(" ".join(page.words).split())
    assert all(f"run-{i}" in words for i in range(8))
    assert page.tags["table"] == 1
    assert path.stat().st_size < 12_000_000


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[list[str]]:
    """A headless browser's command line."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"no browser is installed (looked for {', '.join(BROWSERS)})")
    yield [
        found, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr", "--window-size=1400,1000",
    ]  # fmt: skip


def test_a_browser_shows_it_at_both_widths(report: Path, tmp_path: Path, browser: list[str]) -> None:
    text = report.read_text()
    urls = re.findall(r"url\((data:image/webp[^)]+)\)", text)
    pictures = "".join(f"<img src={url}>" for url in urls)
    probe = tmp_path / "probe.html"
    probe.write_text(PROBE % {"page": html.escape(text), "pictures": pictures})
    ended = subprocess.run(
        [*browser, "--dump-dom", probe.as_uri()], capture_output=True, text=True, timeout=120, check=True
    )
    answer = re.search("<output>(.*?)</output>", ended.stdout)
    assert answer is not None, ended.stderr
    found = json.loads(html.unescape(answer[1]))
    assert "problem" not in found, found
    assert found["widths"] == {"1280": 0, "390": 0}, "the page must not scroll sideways"
    assert found["loaded"] == found["shown"] == len(urls)
    assert found["flat"] == 0
    assert (found["before"], found["after"]) == ("0", "1")
    assert found["light"] != found["dark"]
    assert "CONSOLE" not in ended.stderr, ended.stderr
