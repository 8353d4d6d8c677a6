"""CP-VTON's two networks and its thin-plate spline."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

SIZE = (256, 192)


class Extractor(nn.Module):
    """Strided convolutions to a sixteenth of the size, ReLU before BatchNorm."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for width in (64, 128, 256, 512):
            layers += [nn.Conv2d(channels, width, 4, 2, 1), nn.ReLU(True), nn.BatchNorm2d(width)]
            channels = width
        layers += [nn.Conv2d(512, 512, 3, 1, 1), nn.ReLU(True), nn.BatchNorm2d(512)]
        layers += [nn.Conv2d(512, 512, 3, 1, 1), nn.ReLU(True)]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layers(x)
        return x / (x.pow(2).sum(1, keepdim=True) + 1e-6).pow(0.5).expand_as(x)


class TpsGrid(nn.Module):
    """θ (B, 50) → grid (B, H, W, 2): distances worked out for every pixel, weighted sums for every sample and pixel, at
    each call."""

    points_x: Tensor
    points_y: Tensor

    def __init__(self) -> None:
        super().__init__()
        axis = np.linspace(-1, 1, 5)
        y, x = np.meshgrid(axis, axis)
        points_x, points_y = (torch.from_numpy(v.reshape(-1, 1)).float() for v in (x, y))
        self.register_buffer("points_x", points_x)
        self.register_buffer("points_y", points_y)
        grid_x, grid_y = np.meshgrid(np.linspace(-1, 1, SIZE[1]), np.linspace(-1, 1, SIZE[0]))
        self.register_buffer("grid_x", torch.from_numpy(grid_x).float()[None, :, :, None])
        self.register_buffer("grid_y", torch.from_numpy(grid_y).float()[None, :, :, None])
        distance = (points_x - points_x.T) ** 2 + (points_y - points_y.T) ** 2
        distance[distance == 0] = 1
        ones = torch.cat([torch.ones(25, 1), points_x, points_y], 1)
        system = torch.cat(
            [
                torch.cat([distance * distance.log(), ones], 1),
                torch.cat([ones.T, torch.zeros(3, 3)], 1),
            ]
        )
        self.register_buffer("inverse", torch.inverse(system)[None])

    def forward(self, theta: Tensor) -> Tensor:
        batch, (height, width) = len(theta), SIZE
        theta = theta[:, :, None, None]
        target_x, target_y = theta[:, :25, :, 0] + self.points_x, theta[:, 25:, :, 0] + self.points_y
        inverse = self.inverse.expand(batch, -1, -1)

        def spread(weights: Tensor) -> Tensor:
            return weights[..., None, None].transpose(1, 4).repeat(1, height, width, 1, 1)

        bent_x = spread(torch.bmm(inverse[:, :25, :25], target_x))
        bent_y = spread(torch.bmm(inverse[:, :25, :25], target_y))
        flat_x = spread(torch.bmm(inverse[:, 25:, :25], target_x))
        flat_y = spread(torch.bmm(inverse[:, 25:, :25], target_y))
        points = torch.cat([self.grid_x, self.grid_y], 3)
        places_x = self.points_x.view(1, 1, 1, 1, 25)
        places_y = self.points_y.view(1, 1, 1, 1, 25)
        # Distances once for the whole batch, as CP-VTON does where all samples share the grid; weights for each sample.
        delta_x = points[:, :, :, :1, None] - places_x
        delta_y = points[:, :, :, 1:, None] - places_y
        squared = delta_x.pow(2) + delta_y.pow(2)
        squared[squared == 0] = 1
        kernel = squared * squared.log()
        x, y = points[..., :1], points[..., 1:]

        def along(bent: Tensor, flat: Tensor) -> Tensor:
            straight = flat[..., 0] + flat[..., 1] * x + flat[..., 2] * y
            return straight + (bent * kernel.expand_as(bent)).sum(4)

        return torch.cat([along(bent_x, flat_x), along(bent_y, flat_y)], 3)


class GMM(nn.Module):
    """Representation (B, 22, H, W) and garment (B, 3, H, W) → sampling grid, θ."""

    def __init__(self) -> None:
        super().__init__()
        self.person, self.cloth = Extractor(22), Extractor(3)
        layers: list[nn.Module] = []
        channels = 192
        for width, kernel, stride in ((512, 4, 2), (256, 4, 2), (128, 3, 1), (64, 3, 1)):
            layers += [nn.Conv2d(channels, width, kernel, stride, 1), nn.BatchNorm2d(width), nn.ReLU(True)]
            channels = width
        self.regressor = nn.Sequential(*layers)
        self.linear = nn.Linear(64 * 4 * 3, 50)
        self.grid = TpsGrid()

    def forward(self, agnostic: Tensor, cloth: Tensor) -> tuple[Tensor, Tensor]:
        a, b = self.person(agnostic), self.cloth(cloth)
        n, c, h, w = a.shape
        a = a.transpose(2, 3).contiguous().view(n, c, h * w)
        b = b.contiguous().view(n, c, h * w).transpose(1, 2)
        matching = torch.bmm(b, a).view(n, h, w, h * w).transpose(2, 3).transpose(1, 2)
        theta = torch.tanh(self.linear(self.regressor(matching.contiguous()).flatten(1)))
        return self.grid(theta), theta


class UnetBlock(nn.Module):
    """A level of the U-Net, its submodule inside."""

    def __init__(
        self, outer: int, inner: int, below: nn.Module | None = None, first: int | None = None
    ) -> None:
        super().__init__()
        self.outermost = first is not None
        down: list[nn.Module] = [nn.Conv2d(first or outer, inner, 4, 2, 1)]
        if not self.outermost:
            down = [
                nn.LeakyReLU(0.2, True),
                *down,
                *([nn.InstanceNorm2d(inner)] if below is not None else []),
            ]
        joined = inner * (2 if below is not None else 1)
        up = [
            nn.ReLU(True), nn.Upsample(scale_factor=2, mode="bilinear"), nn.Conv2d(joined, outer, 3, 1, 1),
            nn.InstanceNorm2d(outer),
        ]  # fmt: skip
        self.layers = nn.Sequential(*down, *([below] if below is not None else []), *up)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x) if self.outermost else torch.cat([x, self.layers(x)], 1)


class UNet(nn.Module):
    """(B, 25, H, W) → (B, 4, H, W)."""

    def __init__(self) -> None:
        super().__init__()
        block = UnetBlock(512, 512)
        for outer, inner in ((512, 512), (256, 512), (128, 256), (64, 128)):
            block = UnetBlock(outer, inner, block)
        self.layers = UnetBlock(4, 64, block, first=25)

    def forward(self, agnostic: Tensor, warped: Tensor) -> tuple[Tensor, Tensor]:
        rendered, mask = self.layers(torch.cat([agnostic, warped], 1)).split([3, 1], 1)
        return torch.tanh(rendered), torch.sigmoid(mask)


def warp(image: Tensor, grid: Tensor, padding: str = "border") -> Tensor:
    """Sample `image` at `grid`."""
    return F.grid_sample(image, grid, padding_mode=padding, align_corners=True)
