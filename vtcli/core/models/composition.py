"""What a pixel becomes, once for training, try-on over a split and single photos.

- `try_on`: equation (1) of Ayush et al. (section 2; CP-VTON, section 3.2);
- `within`: the try-on inside of the region that `keep` lets change, the photo outside of it. The region is part of
  the person representation (`vtcli.core.models.representation`): with `keep=head` all of the picture;
- `held_garment`: how much of the warped garment is to be seen at least with `keep=outside`;
- `sharpened`: I_rp with sharper arms, for `keep=head`, where all of them are drawn.

Training's losses look at `within`, at the networks' size. Pictures are composed from the same parts at any resolution,
a 256×192 split's as well as a photo's, by `vtcli.core.tryon.composing.composer`.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from vtcli.core.data import labels as L
from vtcli.core.data.pixels import share_of

CLOTHES = (*L.TOP_LABELS, L.JUMPSUITS, L.SCARF)
"""Labels of which nothing stays in the photo."""
HELD = 0.6
"""What is left of the garment, as a share, where M_cm lets go of it with `keep=outside`."""

SHARPER = 0.24
"""How much of the Laplacian is taken from arms: on 500 pairs, face and arms then have .65 of the photos' Laplacian energy instead of
.52, at 0.03 dB PSNR and .002 SSIM. An unsharp mask that takes away wider blurs costs more."""
AROUND_ARMS = 4
"""How far beyond M_exp's arms their edges may lie, in pixels at 256×192."""


def try_on(composition_mask: Tensor, warped_cloth: Tensor, rendered_person: Tensor) -> Tensor:
    """I_try-on = M_cm * I_warp + (1 - M_cm) * I_rp (equation 1).

    `composition_mask` M_cm (B, 1, H, W) in [0, 1]; `warped_cloth` I_warp and `rendered_person` I_rp (B, 3, H, W) in
    [-1, 1].
    """
    return composition_mask * warped_cloth + (1.0 - composition_mask) * rendered_person


def within(region: Tensor, tryon: Tensor, photo: Tensor) -> Tensor:
    """The try-on inside of `region` (B, 1, H, W) in [0, 1], the photo outside of it: (B, 3, H, W) in [-1, 1]."""
    return region * tryon + (1.0 - region) * photo


def held_garment(warped_mask: Tensor, expected_parse: Tensor) -> Tensor:
    """The least M_cm that leaves the garment its own look, (B, 1, H, W) in [0, 1]: `HELD` where it lies and M_exp
    expects clothes, less towards its edge. On plain cloth M_cm is free to let go of it, and loses its threads and tints
    it; at edges, and under arms and hair, the rendering knows better.

    `warped_mask` (B, 1, H, W) in [0, 1]; `expected_parse` (B, 20, H, W) probabilities.
    """
    inside = F.avg_pool2d(-F.max_pool2d(-warped_mask, 5, stride=1, padding=2), 3, stride=1, padding=1)
    clothes = share_of(expected_parse, L.TOP_LABELS)
    return HELD * inside * ((clothes - 0.5) / 0.3).clamp(0, 1)


def sharpened(rendered_person: Tensor, expected_parse: Tensor, head: Tensor) -> Tensor:
    """I_rp (B, 3, H, W) in [-1, 1], sharper on the arms that M_exp, `expected_parse` (B, 20, H, W) probabilities,
    expects. What the photo shows of the `head` (B, H, W) bool stays as it is."""
    arms = F.max_pool2d(share_of(expected_parse, L.ARM_LABELS), 2 * AROUND_ARMS + 1, 1, AROUND_ARMS)
    padded = F.pad(rendered_person.float(), (1, 1, 1, 1), mode="replicate")
    beside = padded[..., :-2, 1:-1] + padded[..., 2:, 1:-1] + padded[..., 1:-1, :-2] + padded[..., 1:-1, 2:]
    laplacian = beside - 4.0 * rendered_person
    return (rendered_person - SHARPER * arms * ~head[:, None] * laplacian).clamp(-1, 1)
