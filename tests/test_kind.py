"""The kind of a garment: tops are taken, what is long and no top is named and refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from vtcli.core.data import labels as L
from vtcli.core.models.kind import KINDS, TOPS, Kind, KindNet
from vtcli.core.models.load import load_kind, load_parser
from vtcli.core.models.weights import save_weights, stage_file
from vtcli.core.tryon.photos.annotate import WEAK, Annotation, Annotator
from vtcli.core.tryon.photos.judged_garment import is_print
from vtcli.core.tryon.photos.problems import UnfitPhoto
from vtcli.core.tryon.photos.shop_photo import cut_out

SAMPLES = Path(__file__).resolve().parent.parent / "sample_data"
SHIRT = np.asarray(Image.open(SAMPLES / "cloth.jpg").convert("RGB"))


@pytest.fixture(scope="module")
def annotator() -> Annotator:
    parser = load_parser(stage_file(None, "parser"))
    return Annotator(parser, torch.device("cpu"), WEAK, load_kind(None))


def _dress() -> np.ndarray:
    """The sample's striped shirt, its lower part three times as long and wider and wider."""
    width = SHIRT.shape[1]
    rows = np.nonzero((SHIRT < 235).any((1, 2)))[0]
    waist, hem = (2 * rows[0] + rows[-1]) // 3, rows[-1]
    skirt = cv2.resize(SHIRT[waist:hem], (width, 3 * (hem - waist)), interpolation=cv2.INTER_CUBIC)
    for row, line in enumerate(skirt):
        across = (np.arange(width) - width / 2) / (1 + 0.6 * row / len(skirt)) + width / 2
        skirt[row] = line[across.astype(int)]
    return np.concatenate([SHIRT[:waist], skirt, SHIRT[hem:]])


def test_the_samples_garments_are_tops(annotator: Annotator) -> None:
    for file in [SAMPLES / "cloth.jpg", *sorted((SAMPLES / "test" / "cloth").glob("*.jpg"))[:5]]:
        image = Image.open(file).convert("RGB")
        cut_out(annotator, image, np.asarray(image), None, force=False)


def test_a_dress_is_named_and_refused(annotator: Annotator) -> None:
    dress = _dress()
    with pytest.raises(UnfitPhoto, match="shows a dress") as caught:
        cut_out(annotator, Image.fromarray(dress), dress, None, force=False)
    assert "force" in caught.value.helps
    cut_out(annotator, Image.fromarray(dress), dress, None, force=True)


def test_what_may_be_no_top_is_told(annotator: Annotator, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = Kind(tuple(0.4 if k == "dress" else 0.6 if k == "top" else 0.0 for k in KINDS))
    monkeypatch.setattr(annotator, "kind", lambda *given: kind)
    notes = cut_out(annotator, Image.fromarray(SHIRT), SHIRT, None, force=False).notes
    assert len(notes) == 1 and "may show a dress (40%)" in notes[0]


@pytest.mark.parametrize(
    ("arms", "sure", "taken"), [(0.004, True, True), (0.03, True, False), (0.004, False, False)]
)
def test_a_hood_is_no_head(
    annotator: Annotator, monkeypatch: pytest.MonkeyPatch, arms: float, sure: bool, taken: bool
) -> None:
    """The parser sees a face and hair above a shirt that is surely a top; only a person has arms as well."""
    look = annotator.of_garments

    def with_head(pictures: torch.Tensor) -> Annotation:
        seen = look(pictures)
        seen = replace(seen, probabilities=seen.probabilities.clone())
        head = seen.probabilities[0]
        head[:, :30, 56:136] = 0.0
        head[L.HAIR, :30, 56:136] = 1.0
        head[:, 10:30, 80:112] = 0.0
        head[L.FACE, 10:30, 80:112] = 1.0
        rows = round(arms * 256 * 192 / 20)
        seen.probabilities[0, :, -rows:, :20] = 0.0
        seen.probabilities[0, L.LEFT_ARM, -rows:, :20] = 1.0
        return seen

    monkeypatch.setattr(annotator, "of_garments", with_head)
    monkeypatch.setattr("vtcli.core.tryon.photos.judged_garment.worn_top", lambda *given: "they turn away")
    if not sure:
        likely = Kind(tuple(0.7 if k == "top" else 0.06 for k in KINDS))
        monkeypatch.setattr(annotator, "kind", lambda *given: likely)
    if taken:
        assert cut_out(annotator, Image.fromarray(SHIRT), SHIRT, None, force=False).mask.max() > 0
    else:
        with pytest.raises(UnfitPhoto, match="shows a person, and they turn away"):
            cut_out(annotator, Image.fromarray(SHIRT), SHIRT, None, force=False)


def test_without_the_network_kinds_are_not_told() -> None:
    without = Annotator(load_parser(stage_file(None, "parser")), torch.device("cpu"), WEAK)
    dress = _dress()
    assert without.kind(torch.zeros(1, 3, 256, 192)) is None
    cut_out(without, Image.fromarray(dress), dress, None, force=False)


def test_whole_numbers_on_disk_are_the_network_again(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = KindNet().eval()
    save_weights(tmp_path / "kind.safetensors", net, {"stage": "kind"}, whole=True)
    # a byte for a weight, and two for those of small layers
    assert (tmp_path / "kind.safetensors").stat().st_size < 1.15 * sum(p.numel() for p in net.parameters())
    again = load_kind(tmp_path)
    pictures = torch.rand(2, 3, 256, 192) * 2 - 1
    with torch.inference_mode():
        assert torch.allclose(net(pictures), again(pictures), atol=0.03)
    for ours, theirs in zip(net.requires_grad_(False).parameters(), again.parameters(), strict=True):
        assert float((ours - theirs).abs().max()) <= float(ours.abs().max()) / 127


def test_words_and_certainty() -> None:
    kind = Kind(
        tuple(
            0.41 if k == "dress" else 0.4 if k == "top" else 0.0 if k != "outerwear" else 0.19 for k in KINDS
        )
    )
    assert kind.name == "dress" and kind.words == "a dress" and not kind.is_no_top
    assert Kind(tuple(0.9 if k == "trousers" else 0.02 for k in KINDS)).is_no_top
    assert Kind(tuple(0.57 if k == "dress" else 0.43 if k == "top" else 0.0 for k in KINDS)).is_no_top
    assert kind.is_doubtful and not Kind(tuple(0.5 if k in TOPS else 0.0 for k in KINDS)).is_doubtful


def test_a_face_inside_the_garment_is_a_print() -> None:
    labels, cut = np.zeros((256, 192), np.uint8), np.zeros((256, 192), bool)
    cut[40:230, 40:150] = True
    labels[90:130, 75:115] = 13
    labels[80:90, 75:115] = 2
    assert is_print(labels, cut)
    head = np.zeros_like(labels)
    head[45:80, 75:115], head[40:45, 75:115] = 13, 2  # the head is the cut-out's upper end
    assert not is_print(head, cut)
    assert not is_print(np.zeros_like(labels), cut)
