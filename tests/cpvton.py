"""CP-VTON's two networks as its paper and its published weights define them, written for these tests alone, the
slow way: what vtcli's `paper` preset must agree with."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F


class FeatureExtraction(nn.Module):
    """4×4 strided convolutions to 512 channels, then two 3×3; ReLU before BatchNorm."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for width in (64, 128, 256, 512):
            layers += [
                nn.Conv2d(channels, width, 4, stride=2, padding=1),
                nn.ReLU(True),
                nn.BatchNorm2d(width),
            ]
            channels = width
        layers += [nn.Conv2d(512, 512, 3, padding=1), nn.ReLU(True), nn.BatchNorm2d(512)]
        layers += [nn.Conv2d(512, 512, 3, padding=1), nn.ReLU(True)]
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


def l2norm(feature: Tensor) -> Tensor:
    norm = torch.pow(torch.sum(torch.pow(feature, 2), 1) + 1e-6, 0.5).unsqueeze(1)
    return torch.div(feature, norm.expand_as(feature))


def correlation(a: Tensor, b: Tensor) -> Tensor:
    n, c, h, w = a.size()
    a = a.transpose(2, 3).contiguous().view(n, c, h * w)
    b = b.contiguous().view(n, c, h * w).transpose(1, 2)
    product = torch.bmm(b, a)
    return product.view(n, h, w, h * w).transpose(2, 3).transpose(1, 2)


class FeatureRegression(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 192
        for width, kernel, stride in ((512, 4, 2), (256, 4, 2), (128, 3, 1), (64, 3, 1)):
            layers += [nn.Conv2d(channels, width, kernel, stride=stride, padding=1)]
            layers += [nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
            channels = width
        self.conv = nn.Sequential(*layers)
        self.linear = nn.Linear(64 * 4 * 3, 50)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return torch.tanh(self.linear(x.reshape(x.size(0), -1)))


def tps_grid_by_points(theta: np.ndarray, size: tuple[int, int], every: int = 1) -> np.ndarray:
    """The spline through 5×5 points, (size / every, 2), solved and evaluated pixel by pixel in float64.

    x of the control points runs slowest: P_Y, P_X = meshgrid(axis, axis).
    """
    axis = np.linspace(-1, 1, 5)
    p_y, p_x = np.meshgrid(axis, axis)
    p_x, p_y = p_x.reshape(-1), p_y.reshape(-1)
    n = 25

    def u(dx: float, dy: float) -> float:
        d = dx * dx + dy * dy
        return 0.0 if d == 0 else d * np.log(d)

    system = np.zeros((n + 3, n + 3))
    for i in range(n):
        for j in range(n):
            system[i, j] = u(p_x[i] - p_x[j], p_y[i] - p_y[j])
        system[i, n:] = system[n:, i] = (1, p_x[i], p_y[i])
    rows, columns = range(0, size[0], every), range(0, size[1], every)
    grid = np.zeros((len(rows), len(columns), 2))
    for axis_index, base in ((0, p_x), (1, p_y)):
        q = np.concatenate([theta[axis_index * n : (axis_index + 1) * n] + base, np.zeros(3)])
        weights = np.linalg.solve(system, q)
        for r, row in enumerate(rows):
            y = -1 + 2 * row / (size[0] - 1)
            for c, column in enumerate(columns):
                x = -1 + 2 * column / (size[1] - 1)
                value = weights[n] + weights[n + 1] * x + weights[n + 2] * y
                for i in range(n):
                    value += weights[i] * u(x - p_x[i], y - p_y[i])
                grid[r, c, axis_index] = value
    return grid


class GMM(nn.Module):
    """Representation (B, 22, 256, 192) and cloth (B, 3, 256, 192) → θ (B, 50)."""

    def __init__(self) -> None:
        super().__init__()
        self.extractionA = FeatureExtraction(22)
        self.extractionB = FeatureExtraction(3)
        self.regression = FeatureRegression()

    def forward(self, agnostic: Tensor, cloth: Tensor) -> Tensor:
        a, b = l2norm(self.extractionA(agnostic)), l2norm(self.extractionB(cloth))
        return self.regression(correlation(a, b))


class UnetBlock(nn.Module):
    """A level of pix2pix's U-Net with bilinear enlargement, its submodule nested inside."""

    def __init__(
        self, outer: int, inner: int, submodule: nn.Module | None = None, channels_in: int | None = None
    ) -> None:
        super().__init__()
        self.outermost = channels_in is not None
        down = nn.Conv2d(channels_in or outer, inner, 4, stride=2, padding=1)
        up = [
            nn.ReLU(True), nn.Upsample(scale_factor=2, mode="bilinear"),
            nn.Conv2d(inner * (2 if submodule is not None else 1), outer, 3, padding=1), nn.InstanceNorm2d(outer),
        ]  # fmt: skip
        if self.outermost:
            layers = [down, submodule, *up]
        elif submodule is None:
            layers = [nn.LeakyReLU(0.2, True), down, *up]
        else:
            layers = [nn.LeakyReLU(0.2, True), down, nn.InstanceNorm2d(inner), submodule, *up]
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x) if self.outermost else torch.cat([x, self.model(x)], 1)


class UnetGenerator(nn.Module):
    """(B, 25, 256, 192) → (B, 4, 256, 192): six levels, 64 base channels."""

    def __init__(self) -> None:
        super().__init__()
        block = UnetBlock(512, 512)
        for outer, inner in ((512, 512), (256, 512), (128, 256), (64, 128)):
            block = UnetBlock(outer, inner, block)
        self.model = UnetBlock(4, 64, block, channels_in=25)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


def tryon(unet: UnetGenerator, agnostic: Tensor, warped: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Rendered person, composition mask and try-on picture, as CP-VTON's test does."""
    rendered, mask = torch.split(unet(torch.cat([agnostic, warped], 1)), 3, 1)
    rendered, mask = torch.tanh(rendered), torch.sigmoid(mask)
    return rendered, mask, warped * mask + rendered * (1 - mask)


def warp(image: Tensor, grid: Tensor) -> Tensor:
    return F.grid_sample(image, grid, padding_mode="border", align_corners=True)


def randomise(network: nn.Module, seed: int) -> nn.Module:
    """Random weights whose activations neither die nor explode, random BatchNorm statistics; eval mode."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                fan = module.weight[0].numel()
                module.weight.copy_(torch.randn(module.weight.shape, generator=generator) * (2 / fan) ** 0.5)
                module.bias.copy_(torch.randn(module.bias.shape, generator=generator) * 0.1)
            elif isinstance(module, nn.BatchNorm2d):
                for tensor, low, high in (
                    (module.weight, 0.7, 1.3), (module.bias, -0.2, 0.2),
                    (module.running_mean, -0.2, 0.2), (module.running_var, 0.5, 1.5),
                ):  # fmt: skip
                    tensor.copy_(torch.rand(tensor.shape, generator=generator) * (high - low) + low)
    return network.eval()
