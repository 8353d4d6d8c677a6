"""The networks: CP-VTON's numbers, shapes, equation 1, what the auxiliary decoder changes, the parser's joints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cpvton
import pytest
import torch
from torch import nn

from vtcli.core.data import labels as L
from vtcli.core.data.pixels import likeliest
from vtcli.core.models.common import TOMOutput, correlation, garment_input, l2_normalise
from vtcli.core.models.efficientnet import CHANNELS, LITE0, LITE2, EfficientNetLite, Stages
from vtcli.core.models.flow import resize_offsets, spline_offsets
from vtcli.core.models.folding import fold_batch_norm
from vtcli.core.models.load import load_parser
from vtcli.core.models.parser import (
    Parser,
    PyramidDecoder,
    decode_joints,
    joint_log_probabilities,
    label_probabilities,
    lip_probabilities,
)
from vtcli.core.models.presets import GMM_PRESETS, TOM_PRESETS, build_gmm, build_tom
from vtcli.core.models.weights import save_weights


def _count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_paper_presets_have_cp_vtons_size() -> None:
    with torch.device("meta"):
        assert _count(build_gmm("paper", aux=False)) == _count(cpvton.GMM()) == 19_057_650
        assert _count(build_tom("paper", aux=False)) == _count(cpvton.UnetGenerator()) == 21_349_252
        for make in (lambda aux: build_gmm("paper", aux), lambda aux: build_tom("paper", aux)):
            plain, with_aux = make(False), make(True)
            assert _count(with_aux) > _count(plain)
            more = with_aux.state_dict().keys() - plain.state_dict().keys()
            assert all(key.startswith(("parse_decoder", "parse_head")) for key in more)


def test_correlation_and_normalisation_are_cp_vtons() -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn((2, 2, 8, 4, 3), generator=generator)
    torch.testing.assert_close(l2_normalise(a), cpvton.l2norm(a))
    torch.testing.assert_close(correlation(a, b), cpvton.correlation(a, b))
    # Channel w * H + h at pixel (y, x) is the person's (h, w) times the garment's (y, x).
    expected = (a[1, :, 3, 2] * b[1, :, 1, 0]).sum()
    torch.testing.assert_close(correlation(a, b)[1, 2 * 4 + 3, 1, 0], expected)


def test_each_network_says_what_it_takes() -> None:
    with torch.device("meta"):
        gmms = {preset: build_gmm(preset, aux=True) for preset in GMM_PRESETS}
        toms = {preset: build_tom(preset, aux=True) for preset in TOM_PRESETS}
    assert gmms.keys() == toms.keys() == {"paper", "paper-small", "lite"}
    assert {k: (g.input_size, g.cpvton_inputs) for k, g in gmms.items()} == {
        "paper": ((256, 192), True), "paper-small": ((128, 96), True), "lite": ((128, 96), False),
    }  # fmt: skip
    assert {k: t.relights for k, t in toms.items()} == {"paper": False, "paper-small": False, "lite": True}


@pytest.mark.parametrize("aux", [True, False])
def test_lite_gmm(aux: bool) -> None:
    torch.manual_seed(0)
    network = build_gmm("lite", aux).eval()
    person, garment = torch.randn(2, 22, 128, 96), torch.rand(2, 4, 128, 96)
    with torch.inference_mode():
        out = network(person, garment)
    assert torch.equal(out.theta, torch.zeros(2, 50))  # training starts at the identity
    assert [tuple(x.shape[2:]) for x in out.flow] == [(8, 6), (16, 12), (32, 24), (64, 48)]
    assert all(float(x.abs().max()) < 1e-5 for x in out.flow)
    assert (out.expected_parse is not None) == aux
    if aux:
        assert out.expected_parse.shape == (2, L.LABELS, 128, 96)
        other = network(person, 1 - garment).expected_parse
        assert not torch.equal(out.expected_parse, other)  # M_exp looks at the garment, too
        other = network(-person, garment).expected_parse
        assert not torch.equal(out.expected_parse, other)


def test_each_level_of_the_lite_gmm_corrects_the_one_below() -> None:
    torch.manual_seed(0)
    network = build_gmm("lite", aux=True).eval()
    nn.init.normal_(network.regressor.linear.weight, std=0.02)
    for level in network.levels:
        nn.init.normal_(level.correct.weight, std=0.02)
    person, garment = torch.randn(1, 22, 128, 96), torch.rand(1, 4, 128, 96)
    out = network(person, garment)
    start = spline_offsets(out.theta, (8, 6))
    for found in out.flow:
        size = (found.shape[2], found.shape[3])
        assert float((found - resize_offsets(start, size)).detach().abs().max()) > 1e-3
        start = found
    out.flow[-1].square().sum().backward()
    assert network.regressor.linear.weight.grad is None  # the spline learns from its own loss
    assert network.person_encoder.levels[0][0].weight.grad.abs().sum() > 0
    assert network.cloth_encoder.levels[0][0].weight.grad.abs().sum() > 0


def test_garment_goes_in_on_white() -> None:
    cloth, mask = torch.full((1, 3, 8, 8), -0.5), torch.zeros(1, 1, 8, 8)
    mask[..., 2:6, 2:6] = 1
    full = garment_input(cloth, mask, (8, 8))
    assert (full[:, :3, 3, 3] == -0.5).all() and (full[:, :3, 0] == 1).all()
    half = garment_input(cloth, mask, (4, 4))
    assert half.shape == (1, 4, 4, 4) and half[0, 3].tolist()[1] == [0, 1, 1, 0]


@pytest.mark.parametrize("preset", ["lite", "paper", "paper-small"])
def test_tom(preset: str) -> None:
    torch.manual_seed(0)
    with_aux = build_tom(preset, aux=True).eval()
    size = (64, 64) if preset == "paper" else (96, 32)  # six halvings or five
    person, cloth = torch.rand(2, 22, *size) * 2 - 1, torch.rand(2, 3, *size) * 2 - 1
    mask = torch.ones(2, 1, *size)
    with torch.inference_mode():
        out = with_aux(person, cloth, mask)
        without = with_aux(person, cloth, mask, parse=False)
    assert out.rendered_person.shape == (2, 3, *size) and out.composition_mask.shape == (2, 1, *size)
    assert out.rendered_person.abs().max() <= 1
    assert out.composition_mask.min() >= 0 and out.composition_mask.max() <= 1
    assert out.expected_parse.shape == (2, L.LABELS, size[0] // 2, size[1] // 2)
    # Leaving M_exp out, or training without it, leaves the picture as it is.
    assert without.expected_parse is None
    assert torch.equal(out.rendered_person, without.rendered_person)
    assert build_tom(preset, aux=False)(person, cloth, mask).expected_parse is None


def test_equation_one() -> None:
    rendered, cloth = torch.full((1, 3, 1, 3), -1.0), torch.full((1, 3, 1, 3), 1.0)
    mask = torch.tensor([0.0, 0.25, 1.0]).view(1, 1, 1, 3)
    tryon = TOMOutput(rendered, mask, None).tryon(cloth)
    assert tryon[0, 0, 0].tolist() == [-1.0, -0.5, 1.0]


def test_parser_takes_any_multiple_of_32() -> None:
    torch.manual_seed(0)
    parser = Parser().eval()
    with torch.inference_mode():
        labels, joints = parser(torch.rand(1, 3, 96, 64) * 2 - 1)
    assert labels.shape == (1, 22, 48, 32) and joints.shape == (1, 18, 24, 16)
    probabilities = label_probabilities(labels, (96, 64))
    torch.testing.assert_close(probabilities.sum(1), torch.ones(1, 96, 64))
    lip = lip_probabilities(probabilities)
    assert lip.shape == (1, 20, 96, 64)
    torch.testing.assert_close(lip.sum(1), torch.ones(1, 96, 64))
    torch.testing.assert_close(lip[:, 1:], probabilities[:, 1:20])


def test_a_parser_of_lips_labels_alone_is_read(tmp_path: Path) -> None:
    """It never sees a label that its file does not know, and what it sees of the others stays."""
    torch.manual_seed(0)
    parser = Parser().eval()
    parser.labels[3] = nn.Conv2d(48, L.LABELS, 3, padding=1)
    save_weights(tmp_path / "parser.safetensors", parser, {"stage": "parser", "preset": "lite"}, half=False)
    photo = torch.rand(1, 3, 64, 64) * 2 - 1
    with torch.inference_mode():
        new, was = load_parser(tmp_path / "parser.safetensors")(photo)[0], parser(photo)[0]
    probabilities = label_probabilities(new, (64, 64))
    assert float(probabilities[:, 20:].max()) < 1e-9
    torch.testing.assert_close(
        lip_probabilities(probabilities), label_probabilities(was, (64, 64)), atol=1e-3, rtol=0
    )


def test_joints_are_decoded_between_cells_and_absent_ones_left_out() -> None:
    height, width, stride = 16, 12, 4.0
    logits = torch.full((1, 18, height, width), -20.0)
    # Joint 0: mass split between two cells; 1: one cell in the corner; 2: all mass in the absent bin; 3: as
    # likely anywhere as absent.
    logits[0, 0, 5, 6], logits[0, 0, 5, 7] = 0.0, 0.0
    logits[0, 1, 0, 0] = 5.0
    logits[0, 3] = 0.0
    absent = torch.full((18,), -20.0)
    absent[2] = 10.0
    torch.testing.assert_close(
        joint_log_probabilities(logits, absent).exp().sum(2), torch.ones(1, 18), atol=1e-5, rtol=0
    )
    joints = decode_joints(logits, absent, stride)[0]
    x, y, confidence = joints[0].tolist()
    assert (x, y) == pytest.approx((7.0 * stride - 0.5, 5.5 * stride - 0.5), abs=1e-3)
    assert confidence == pytest.approx(1.0, abs=1e-3)
    assert joints[1, :2].tolist() == pytest.approx([0.5 * stride - 0.5] * 2, abs=1e-3)
    assert joints[2].tolist() == [0, 0, 0]
    assert joints[3].tolist() == [0, 0, 0]  # 25 of 192 cells are less than the threshold


@pytest.mark.parametrize(
    ("name", "stages"), [("tf_efficientnet_lite0", LITE0), ("tf_efficientnet_lite2", LITE2)]
)
def test_efficientnet_is_the_librarys(name: str, stages: Stages) -> None:
    """timm's, features and head, at odd sizes as well."""
    import timm

    torch.manual_seed(0)
    whole = timm.create_model(name, pretrained=False).eval()
    maps = timm.create_model(name, pretrained=False, features_only=True).eval()
    for module in whole.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1), module.running_var.uniform_(0.5, 1.5)
    state = whole.state_dict()
    ours = EfficientNetLite(stages).eval()
    assert list(ours.state_dict()) == list(state)
    ours.load_state_dict(state)
    maps.load_state_dict({k: v for k, v in state.items() if k in maps.state_dict()})
    for size in ((64, 96), (75, 101)):
        pictures = torch.randn(2, 3, *size)
        with torch.inference_mode():
            torch.testing.assert_close(ours(pictures), whole(pictures), atol=1e-5, rtol=1e-4)
            for a, b in zip(ours.features(pictures), maps(pictures), strict=True):
                torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


def test_the_parsers_pyramid_is_the_librarys() -> None:
    from segmentation_models_pytorch.decoders.fpn.decoder import FPNDecoder

    torch.manual_seed(0)
    theirs = FPNDecoder([3, *CHANNELS], 5, 64, 32, 0.0, "cat").eval()
    pyramid = PyramidDecoder(64, 32).eval()
    pyramid.load_state_dict(theirs.state_dict())
    features = [torch.randn(2, n, 64 // 2**i, 32 // 2**i) for i, n in enumerate(CHANNELS)]
    with torch.inference_mode():
        torch.testing.assert_close(pyramid(features[1:]), theirs([features[0], *features]))


def test_the_lite_tom_sees_the_gmms_parse_and_older_weights_do_not() -> None:
    tom = build_tom("lite", aux=True).eval()
    representation, cloth, mask = (
        torch.randn(1, 22, 256, 192),
        torch.randn(1, 3, 256, 192),
        torch.rand(1, 1, 256, 192),
    )
    parses = torch.rand(2, 1, 20, 128, 96).softmax(2)
    given = (representation, cloth, mask)
    with torch.no_grad():
        one, other = (tom(*given, warp_parse=parse).rendered_person for parse in parses)
        assert not torch.allclose(one, other)
        older = {
            **tom.state_dict(),
            "encoder.stem.0.weight": tom.state_dict()["encoder.stem.0.weight"][:, :47],
        }
        tom.load_state_dict(older)
        blind = [tom(*given, warp_parse=parse).rendered_person for parse in (*parses, None)]
        small = tom(
            representation[..., ::2, ::2], cloth[..., ::2, ::2], mask[..., ::2, ::2], warp_parse=parses[0]
        )
    assert torch.equal(blind[0], blind[1]) and torch.equal(blind[0], blind[2])
    assert small.rendered_person.shape == (1, 3, 128, 96)


@pytest.mark.parametrize("make", [Parser, lambda: build_gmm("lite", True), lambda: build_tom("lite", True)])
def test_folded_norms_change_nothing_but_rounding(make: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    network = make()
    given = {
        "Parser": (torch.rand(2, 3, 128, 96) * 2 - 1,),
        "LiteGMM": (torch.randn(2, 22, 128, 96), torch.randn(2, 4, 128, 96)),
        "LiteTOM": (torch.randn(2, 22, 128, 96), torch.randn(2, 3, 128, 96), torch.rand(2, 1, 128, 96)),
    }[type(network).__name__]
    with torch.no_grad():
        network(*given)  # so that the norms' statistics are not 0 and 1
        before = network.eval()(*given)
        count = sum(isinstance(m, nn.BatchNorm2d) for m in network.modules())
        after = fold_batch_norm(network)(*given)
    assert count > 0 and not any(isinstance(m, nn.BatchNorm2d) for m in network.modules())
    before, after = (list(vars(x).values()) if not isinstance(x, tuple) else list(x) for x in (before, after))
    for old, new in zip(before, after, strict=True):
        for a, b in zip(old, new, strict=True) if isinstance(old, list) else [(old, new)]:
            torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)


def test_the_likeliest_label_is_argmax() -> None:
    shares = torch.rand(2, 20, 32, 24)
    assert torch.equal(likeliest(shares), shares.argmax(1).to(torch.uint8))
