"""Parse maps, poses and masks as other tools write them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter

from vtcli.core.data import labels as L
from vtcli.core.data.annotations import read_mask, read_parse
from vtcli.core.data.poses import read_pose
from vtcli.core.system.errors import VtcliError

EVERY = np.arange(20, dtype=np.uint8).reshape(4, 5).repeat(3, 0).repeat(2, 1)


def _parse_file(path: Path, values: np.ndarray, mode: str = "P") -> Path:
    image = Image.fromarray(values)
    if mode == "P":
        image.putpalette(L.LIP_PALETTE.tobytes())
    elif mode == "RGB":
        image = Image.fromarray(L.LIP_PALETTE[values])
    elif mode == "RGBA":
        image = Image.fromarray(L.LIP_PALETTE[values]).convert("RGBA")
    elif mode == "I;16":
        image = Image.fromarray(values.astype(np.uint16))
    image.save(path)
    return path


def test_a_parse_map_as_jpeg_is_told(tmp_path: Path) -> None:
    file = tmp_path / "parse.jpg"
    Image.fromarray(EVERY.repeat(20, 0).repeat(20, 1)).save(file, quality=97)
    with pytest.raises(VtcliError, match="a JPEG, which blurs labels"):
        read_parse(file)


@pytest.mark.parametrize("mode", ["P", "L", "RGB", "RGBA", "I;16"])
def test_parse_maps_of_every_kind_give_the_labels(tmp_path: Path, mode: str) -> None:
    out = read_parse(_parse_file(tmp_path / "parse.png", EVERY, mode))
    assert out.dtype == np.uint8 and np.array_equal(out, EVERY)


def test_labels_of_other_sets_become_lip(tmp_path: Path) -> None:
    atr = np.array([[4, 5, 6, 7, 8, 11, 14, 15, 16, 17]], np.uint8)
    expected = [5, 12, 9, 6, 9, 13, 14, 15, 0, 11]  # upper clothes, skirt, pants, dress, belt, face, …
    assert read_parse(_parse_file(tmp_path / "atr.png", atr), "atr").tolist() == [expected]
    cihp = np.array([[9, 10, 13]], np.uint8)
    for mode in ("P", "RGB"):
        file = _parse_file(tmp_path / f"{mode}.png", cihp, mode)
        assert read_parse(file, "cihp").tolist() == [[9, 0, 13]]  # the torso's skin has no LIP label
        assert read_parse(file).tolist() == [[9, 10, 13]]


def test_labels_out_of_range_and_foreign_colours_are_refused(tmp_path: Path) -> None:
    beyond = EVERY.copy()
    beyond[0, 0] = 20
    with pytest.raises(VtcliError, match=r"beyond\.png: label 20"):
        read_parse(_parse_file(tmp_path / "beyond.png", beyond))
    with pytest.raises(VtcliError, match=r"multiples of 12: was it made brighter"):
        read_parse(_parse_file(tmp_path / "bright.png", EVERY * 12))
    with pytest.raises(VtcliError, match="label 18"):
        read_parse(_parse_file(tmp_path / "atr.png", np.full((2, 2), 18, np.uint8)), "atr")
    colours = L.LIP_PALETTE[EVERY]
    colours[2, 3] = (254, 0, 0)
    Image.fromarray(colours).save(tmp_path / "near.png")
    with pytest.raises(VtcliError, match=r"\(254, 0, 0\) at x 3, y 2"):
        read_parse(tmp_path / "near.png")
    with pytest.raises(VtcliError, match="ATR"):
        read_parse(_parse_file(tmp_path / "colour.png", EVERY, "RGB"), "atr")


def _pose_file(tmp_path: Path, *people: Any, key: str = "pose_keypoints_2d") -> Path:
    path = tmp_path / "pose.json"
    path.write_text(json.dumps({"version": 1.2, "people": [{key: list(p)} for p in people]}))
    return path


def _joints(
    count: int = 18, *, start: float = 10.0, step: float = 3.0, confidence: float = 0.8
) -> list[float]:
    return [v for i in range(count) for v in (start + step * i, 2 * start + step * i, confidence)]


@pytest.mark.parametrize("key", ["pose_keypoints", "pose_keypoints_2d"])
def test_coco_18_of_either_name(tmp_path: Path, key: str) -> None:
    out = read_pose(_pose_file(tmp_path, _joints(), key=key))
    assert out.shape == (18, 3) and out.dtype == np.float32
    assert np.allclose(out.ravel(), _joints())


def test_body_25_loses_its_hip_centre_and_feet(tmp_path: Path) -> None:
    out = read_pose(_pose_file(tmp_path, [v for i in range(25) for v in (i, 100 + i, 0.5)]))
    assert out[:, 0].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18]
    assert out[L.R_HIP, 0] == 9 and out[L.L_EAR, 0] == 18


def test_the_most_prominent_person_counts(tmp_path: Path) -> None:
    small, large = _joints(step=1), _joints(step=6)
    faint = _joints(step=9, confidence=0.01)
    for people in ((small, large, faint), (faint, large, small), (large, small)):
        assert np.allclose(read_pose(_pose_file(tmp_path, *people)).ravel(), large)


def test_no_person_is_an_error_or_all_absent(tmp_path: Path) -> None:
    for path in (_pose_file(tmp_path), _pose_file(tmp_path, []), _pose_file(tmp_path, [0.0] * 54)):
        assert not read_pose(path, allow_empty=True).any()
        with pytest.raises(VtcliError, match="no person"):
            read_pose(path)


def test_unreliable_joints_are_absent(tmp_path: Path) -> None:
    values = _joints()
    values[5], values[8] = 0.0, -1.0
    out = read_pose(_pose_file(tmp_path, values))
    assert (out[1:3] == 0).all() and (out[3] != 0).all()
    values = _joints()
    values[0] = -40.0
    out = read_pose(_pose_file(tmp_path, values), size=(256, 192))
    assert (out[0] == 0).all() and (out[1:] != 0).all()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "not a readable JSON"),
        ("[]", "no list of people"),
        ('{"people": 3}', "no list of people"),
        ('{"people": [{}]}', "without pose_keypoints"),
        ('{"people": [{"pose_keypoints_2d": "x"}]}', "without pose_keypoints"),
        ('{"people": [{"pose_keypoints_2d": [1, 2]}]}', "2 joint values"),
        ('{"people": [{"pose_keypoints_2d": [NaN' + ", 1" * 53 + "]}]}", "finite"),
        ('{"people": [{"pose_keypoints_2d": [null' + ", 1" * 53 + "]}]}", "finite"),
        ('{"people": [{"pose_keypoints_2d": [1e999' + ", 1" * 53 + "]}]}", "finite"),
    ],
)
def test_broken_pose_files_are_named(tmp_path: Path, content: str, reason: str) -> None:
    path = tmp_path / "broken.json"
    path.write_text(content)
    with pytest.raises(VtcliError, match=reason) as caught:
        read_pose(path)
    assert "broken.json" in str(caught.value)


def test_joints_of_another_size_are_noticed(tmp_path: Path) -> None:
    far = _pose_file(tmp_path, _joints(start=300))
    assert read_pose(far, size=(1024, 768)).all()
    with pytest.raises(VtcliError, match="another size"):
        read_pose(far, size=(256, 192))
    unit = [v if i % 3 == 2 else v / 1000 for i, v in enumerate(_joints())]
    with pytest.raises(VtcliError, match="from 0 to 1"):
        read_pose(_pose_file(tmp_path, unit), size=(256, 192))


def test_masks_are_cut_at_128(tmp_path: Path) -> None:
    grey = np.array([[0, 127, 128, 255]], np.uint8)
    path = tmp_path / "mask.png"
    Image.fromarray(grey).save(path)
    assert read_mask(path).tolist() == [[False, False, True, True]]
    Image.fromarray(grey).convert("RGB").save(path)
    assert read_mask(path).tolist() == [[False, False, True, True]]


def test_masks_of_ones_alpha_and_bits(tmp_path: Path) -> None:
    wanted = np.zeros((6, 4), bool)
    wanted[2:5, 1:3] = True
    path = tmp_path / "mask.png"
    palette = Image.fromarray(wanted.astype(np.uint8))
    palette.putpalette([0, 0, 0, 128, 0, 0])  # a label map's red
    cut_out = Image.new("RGBA", (4, 6), (0, 0, 0, 0))
    cut_out.putalpha(Image.fromarray(np.where(wanted, 255, 0).astype(np.uint8)))
    wide = Image.fromarray(np.where(wanted, 65535, 0).astype(np.uint16))
    for image in (Image.fromarray(wanted.astype(np.uint8)), Image.fromarray(wanted), palette, cut_out, wide):
        image.save(path)
        assert np.array_equal(read_mask(path), wanted), image.mode


COCO_17 = [
    ("nose", 99, 46), ("left-eye", 107, 38), ("right-eye", 93, 36), ("left-ear", 115, 45), ("right-ear", 82, 42),
    ("left-shoulder", 130, 90), ("right-shoulder", 62, 86), ("left-elbow", 142, 145), ("right-elbow", 20, 123),
    ("left-wrist", 149, 198), ("right-wrist", 56, 158), ("left-hip", 119, 207), ("right-hip", 76, 208),
    ("left-knee", 0, 0), ("right-knee", 0, 0), ("left-ankle", 0, 0), ("right-ankle", 0, 0),
]  # fmt: skip


def _coco_17(make: str) -> Any:
    """The same person as five tools write them."""
    flat = [v for _, x, y in COCO_17 for v in (x, y, 2 if make == "coco" else 0.9)]
    points, scores = [[x, y] for _, x, y in COCO_17], [0.9 if x else 0.0 for _, x, _ in COCO_17]
    if make == "openpose":
        return {"people": [{"pose_keypoints_2d": flat}]}
    if make == "coco":
        return {"images": [{"id": 3}], "annotations": [{"image_id": 3, "keypoints": flat}]}
    if make == "mmpose":
        person = {"keypoints": points, "keypoint_scores": scores}
        return {"instance_info": [{"frame_id": 1, "instances": [person]}]}
    if make == "ultralytics":
        xs, ys = [p[0] for p in points], [p[1] for p in points]
        return [{"name": "person", "keypoints": {"x": xs, "y": ys, "visible": scores}}]
    return [[[x, y, score] for (x, y), score in zip(points, scores, strict=True)]]


@pytest.mark.parametrize("make", ["openpose", "coco", "mmpose", "ultralytics", "list"])
def test_coco_17_of_any_tool(tmp_path: Path, make: str) -> None:
    path = tmp_path / "pose.json"
    path.write_text(json.dumps(_coco_17(make)))
    out = read_pose(path, (256, 192))
    for name, x, y in COCO_17:
        assert out[L.JOINT_NAMES.index(name), :2].tolist() == [x, y], name
    assert out[L.NECK, :2].tolist() == [96.0, 88.0] and out[L.NECK, 2] > 0  # the mean of the shoulders
    assert (out[[L.L_KNEE, L.R_ANKLE]] == 0).all()


def test_joints_are_scaled_from_the_picture_that_the_file_names(tmp_path: Path) -> None:
    path = tmp_path / "pose.json"
    person = {"pose_keypoints_2d": _joints()}
    path.write_text(json.dumps([{"people": [person], "canvas_height": 512, "canvas_width": 384}]))
    assert np.allclose(read_pose(path, (256, 192))[:, :2], np.reshape(_joints(), (18, 3))[:, :2] / 2)
    path.write_text(json.dumps({"people": [person], "canvas_height": 512, "canvas_width": 512}))
    with pytest.raises(VtcliError, match="512x512"):
        read_pose(path, (256, 192))


def test_annotations_of_several_pictures_are_refused(tmp_path: Path) -> None:
    value = _coco_17("coco")
    value["annotations"].append(dict(value["annotations"][0], image_id=4))
    (tmp_path / "all.json").write_text(json.dumps(value))
    with pytest.raises(VtcliError, match="2 pictures"):
        read_pose(tmp_path / "all.json")
    value["images"] = [{"id": 3, "file_name": "a.jpg"}, {"id": 4, "file_name": "b.jpg"}]
    (tmp_path / "b.json").write_text(json.dumps(value))
    assert read_pose(tmp_path / "b.json")[L.NOSE, 0] == 99


def test_masks_in_other_values_and_photos_instead_of_masks(tmp_path: Path) -> None:
    wanted = np.zeros((80, 60), bool)
    wanted[20:60, 15:45] = True
    for low, high in ((0, 100), (0, 20), (150, 255)):
        Image.fromarray(np.where(wanted, high, low).astype(np.uint8)).save(tmp_path / "mask.png")
        assert np.array_equal(read_mask(tmp_path / "mask.png"), wanted), (low, high)
    ramp = np.tile(np.linspace(0, 255, 60).astype(np.uint8), (80, 1))
    Image.fromarray(ramp).save(tmp_path / "photo.png")
    with pytest.raises(VtcliError, match=r"photo\.png: .*not a mask"):
        read_mask(tmp_path / "photo.png")
    soft = Image.fromarray(np.where(wanted, 255, 0).astype(np.uint8)).resize(
        (240, 320), Image.Resampling.BICUBIC
    )
    soft.save(tmp_path / "soft.png")
    assert read_mask(tmp_path / "soft.png").mean() == pytest.approx(wanted.mean(), abs=0.01)


def test_label_maps_that_were_resized_like_photos_are_refused(tmp_path: Path) -> None:
    file = Path(__file__).resolve().parent.parent / "sample_data/test/image-parse/000040_0.png"
    labels = Image.fromarray(read_parse(file))
    larger = labels.resize((300, 400), Image.Resampling.NEAREST)
    assert np.array_equal(
        read_parse(_parse_file(tmp_path / "larger.png", np.asarray(larger))), np.asarray(larger)
    )
    blurred = np.asarray(labels.resize((300, 400), Image.Resampling.BILINEAR))
    with pytest.raises(VtcliError, match=r"blurred\.png: .*nearest"):
        read_parse(_parse_file(tmp_path / "blurred.png", blurred))


def test_labels_of_acgpn_gp_vton_and_cp_vton_plus(tmp_path: Path) -> None:
    acgpn = np.array([[0, 1, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]], np.uint8)
    names = [
        "background",
        "hair",
        "upper-clothes",
        "left-shoe",
        "right-shoe",
        "background",
        "pants",
        "left-leg",
    ]
    names += ["right-leg", "left-arm", "face", "right-arm"]
    read = read_parse(_parse_file(tmp_path / "acgpn.png", acgpn), "acgpn")
    assert [L.LIP_NAMES[i] for i in read[0]] == names
    bytedance = np.array([[2, 5, 9, 10, 11, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23]], np.uint8)
    names = [
        "hair",
        "upper-clothes",
        "pants",
        "pants",
        "background",
        "skirt",
        "face",
        "left-arm",
        "right-arm",
    ]
    names += [
        "left-leg",
        "right-leg",
        "left-shoe",
        "right-shoe",
        "upper-clothes",
        "upper-clothes",
        "background",
    ]
    read = read_parse(_parse_file(tmp_path / "gp.png", bytedance), "gp-vton")
    assert [L.LIP_NAMES[i] for i in read[0]] == names
    neck = np.array([[13, 20, 5]], np.uint8)
    assert read_parse(_parse_file(tmp_path / "plus.png", neck), "cp-vton+").tolist() == [[13, 0, 5]]
    with pytest.raises(
        VtcliError, match=r"label 20, but LIP goes to 19; CP-VTON\+ and GP-VTON labels go further"
    ):
        read_parse(tmp_path / "plus.png")


def test_dress_codes_joints_are_those_of_384_by_512(tmp_path: Path) -> None:
    """Four values a joint (x, y, confidence, number), for 384x512 whatever the photo measures; -1 where not found."""
    joints = [[100.0 + i, 200.0 + i, 0.9, float(i)] for i in range(18)]
    joints[10] = [-1.0, -1.0, 0.0, -1.0]
    (tmp_path / "000001_2.json").write_text(json.dumps({"keypoints": joints}))
    read = read_pose(tmp_path / "000001_2.json", (1024, 768))
    assert np.allclose(read[0], (200, 400, 0.9)) and not read[10].any()
    assert np.allclose(read_pose(tmp_path / "000001_2.json", (512, 384))[17], (117, 217, 0.9))


def test_grained_photos_are_no_masks(tmp_path: Path) -> None:
    """Where grain reaches from dark to light, no grey area is left in one piece."""
    rng = np.random.default_rng(0)
    mask = np.zeros((600, 450))
    mask[100:500, 80:370] = 1
    Image.fromarray((mask * 255).astype(np.uint8)).save(tmp_path / "mask.png")
    assert np.array_equal(read_mask(tmp_path / "mask.png"), mask > 0)
    for name, grey in (("photo", 235 - 120 * mask), ("noise", np.full(mask.shape, 128.0))):
        grained = np.clip(grey + rng.normal(0, 45, mask.shape), 0, 255).astype(np.uint8)
        Image.fromarray(grained).save(tmp_path / f"{name}.png")
        with pytest.raises(VtcliError, match="a photo, not a mask"):
            read_mask(tmp_path / f"{name}.png")
        with pytest.raises(VtcliError, match=r"^picture: .*a photo, not a mask"):
            read_mask(Image.fromarray(grained))
    # Soft edges are none, of any width; two greys that say nothing are no mask, either.
    for radius in (4, 12, 30):
        soft = Image.fromarray((mask * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(radius))
        assert (read_mask(soft) == (mask > 0)).mean() > 0.98
    with pytest.raises(VtcliError, match="greys run from 46 to 81"):
        read_mask(
            Image.fromarray(np.where(mask[..., None] > 0, (200, 30, 30), (20, 30, 200)).astype(np.uint8))
        )
    # Grain upon a real mask, as a lossy file has it, is none.
    grained = np.clip(mask * 255 + rng.normal(0, 12, mask.shape), 0, 255).astype(np.uint8)
    Image.fromarray(grained).save(tmp_path / "lossy.png")
    assert (read_mask(tmp_path / "lossy.png") == (mask > 0)).mean() > 0.999
