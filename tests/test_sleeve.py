"""The garment's own sleeves: read from its picture alone, laid along the person's arms, learned in the GMM's training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from test_cut import _joints, _person

from vtcli.core.data import labels as L
from vtcli.core.data.arms import arm_places
from vtcli.core.data.body_regions import torso
from vtcli.core.data.sleeves import sleeve_ends
from vtcli.core.models.lite_gmm import LiteGMM
from vtcli.core.models.load import load_gmm
from vtcli.core.models.presets import build_gmm
from vtcli.core.models.sleeve import hold_to_sleeves, sleeve_map
from vtcli.core.models.weights import fill, save_weights
from vtcli.core.training.gmm import sleeve_loss, worn_sleeves
from vtcli.core.tryon.photos.annotate import certain

SIZE = (256, 192)


def test_places_along_an_arm() -> None:
    joints = torch.from_numpy(_joints())[None]
    along, distance = arm_places(joints, SIZE)[0]
    for joint, place in ((L.R_SHOULDER, 0.0), (L.R_ELBOW, 0.5), (L.R_WRIST, 1.0), (L.L_ELBOW, 0.5)):
        x, y = (int(v) for v in joints[0, joint, :2])
        assert float(along[y, x]) == pytest.approx(place, abs=0.02) and float(distance[y, x]) < 0.01
    assert float(distance[160, 60]) == pytest.approx(
        0.2, abs=0.03
    )  # 20 pixels beside it; neck to hips are 100
    joints[0, [L.R_WRIST, L.L_ELBOW]] = 0
    assert float(arm_places(joints, SIZE)[0, 1].min()) > 100


def test_sleeves_lie_above_their_end() -> None:
    joints = torch.from_numpy(_joints())[None]
    arms = arm_places(joints.expand(2, -1, -1), SIZE)
    short, long = sleeve_map(arms, torch.tensor([0.25, 1.0]))[:, 0]
    for x, y, in_short in ((60, 86, 0.0), (66, 72, 1.0), (45, 135, -1.0)):
        assert float(short[y, x]) == pytest.approx(in_short, abs=0.2)
        assert float(long[y, x]) > 0.9


def test_the_loss_is_zero_where_the_sleeve_is_seen_to_end() -> None:
    parse = np.stack([_person(110, 150), _person(135, 150)])
    joints = np.stack([_joints(), _joints()])
    joints[1, L.L_WRIST] = 0  # only one arm of the second person counts
    worn = worn_sleeves(torch.from_numpy(parse), torch.from_numpy(joints))
    assert worn.shape == (2, 2, 2) and worn[1, 1].isnan().all()
    assert float(sleeve_loss(torch.tensor([0.5, 0.75]), worn)) == pytest.approx(0, abs=0.02)
    wrong = torch.tensor([0.8, 0.75], requires_grad=True)
    loss = sleeve_loss(wrong, worn)
    loss.backward()
    assert loss.item() == pytest.approx(0.2, abs=0.03)  # 0.3 on two arms of three
    assert torch.isfinite(wrong.grad).all() and float(wrong.grad[0]) > 0
    assert float(sleeve_loss(torch.tensor([0.5]), torch.full((1, 2, 2), torch.nan))) == 0


def test_only_the_garment_tells_its_sleeves_and_m_exp_hears_of_them() -> None:
    torch.manual_seed(0)
    gmm = build_gmm("lite", aux=True).eval()
    person, garment = torch.randn(1, 22, 128, 96), torch.rand(1, 4, 128, 96)
    arms = arm_places(torch.from_numpy(_joints() * np.float32((0.5, 0.5, 1)))[None], (128, 96))
    with torch.inference_mode():
        out, other = gmm(person, garment, arms), gmm(-person, garment, arms)
        assert torch.equal(out.sleeve, other.sleeve)
        assert not torch.equal(out.sleeve, gmm(person, 1 - garment, arms).sleeve)
        gmm.sleeve_head.out.bias += 1.0
        assert not torch.equal(out.expected_parse, gmm(person, garment, arms).expected_parse)


def test_older_weights_have_no_sleeve_head(tmp_path: Path) -> None:
    """Their pictures stay what they were; a training that begins with them begins a head as well."""
    torch.manual_seed(0)
    gmm = build_gmm("lite", aux=True).eval()
    assert isinstance(gmm, LiteGMM)
    first = gmm.person_encoder.levels[0][0]
    old = {k: v for k, v in gmm.state_dict().items() if not k.startswith("sleeve_head.")}
    old["person_encoder.levels.0.0.weight"] = first.weight[:, :-1]

    class Old(torch.nn.Module):
        def state_dict(self, *_: object, **__: object) -> dict[str, torch.Tensor]:  # type: ignore[override]
            return old

    save_weights(
        tmp_path / "gmm.safetensors", Old(), {"stage": "gmm", "preset": "lite", "aux": True}, half=False
    )
    loaded = load_gmm(tmp_path / "gmm.safetensors")
    person, garment = torch.randn(1, 22, 128, 96), torch.rand(1, 4, 128, 96)
    with torch.inference_mode():
        out, wanted = loaded(person, garment), gmm(person, garment)
    assert out.sleeve is None
    assert torch.allclose(out.expected_parse, wanted.expected_parse, atol=1e-4)
    begun = build_gmm("lite", aux=True).train()
    fill(begun, dict(old), tmp_path)
    assert begun.sleeve_head is not None
    assert bool((begun.person_encoder.levels[0][0].weight[:, -1] == 0).all())


@pytest.mark.parametrize(("row", "wanted"), [(150, 0.3), (75, 0.8)])
def test_m_exp_is_held_to_the_garments_sleeves(row: int, wanted: float) -> None:
    """Too long a sleeve is cut, too short a one carried on; the rest of M_exp stays."""
    parse = torch.from_numpy(_person(row, 150))[None]
    expected, joints = certain(parse), torch.from_numpy(_joints())[None]
    held = hold_to_sleeves(expected, joints, torch.tensor([wanted]))
    for end in sleeve_ends(held.argmax(1)[0].byte().numpy(), _joints()):
        assert end is not None and end.middle == pytest.approx(wanted, abs=0.05)
    torch.testing.assert_close(held.sum(1), torch.ones(1, 256, 192))
    body = torso(SIZE, joints)[0]
    assert torch.equal(held[0][:, body], expected[0][:, body])
    assert torch.equal(held[0, L.PANTS], expected[0, L.PANTS])


def test_m_exp_stays_where_it_agrees_or_nothing_can_be_told() -> None:
    parse = torch.from_numpy(_person(110, 150))[None]
    expected, joints = certain(parse), torch.from_numpy(_joints())[None]
    there = sleeve_ends(_person(110, 150), _joints())[0]
    assert there is not None
    for beside in (there.cloth - 0.04, there.middle, there.skin + 0.04, 0.6):
        assert hold_to_sleeves(expected, joints, torch.tensor([beside])) is expected
    assert hold_to_sleeves(expected, torch.zeros(1, 18, 3), torch.tensor([0.1])) is expected
    bare, one_arm = _person(62, 150), _joints()
    one_arm[L.R_WRIST] = 0.0  # shoulders are not alike; the left one shows no sleeve
    end = sleeve_ends(bare, one_arm)[1]
    assert end is not None and end.skin < 0.1
    sleeveless = certain(torch.from_numpy(bare)[None])
    assert hold_to_sleeves(sleeveless, torch.from_numpy(one_arm)[None], torch.tensor([0.4])) is sleeveless
    behind = torch.where(torch.isin(parse, torch.tensor(L.ARM_LABELS)), L.UPPER_CLOTHES, parse).byte()
    assert torch.equal(hold_to_sleeves(certain(behind), joints, torch.tensor([0.1])), certain(behind))
