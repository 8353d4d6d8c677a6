"""CP-VTON's networks, inputs, training and test as its paper, its public code and its published weights define them,
written for these tests alone, the slow way: what vtcli's `paper` preset and its recipe `cpvton` must agree with."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import vgg19


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


# -- what the data set gives ------------------------------------------------------------------------------------


def agnostic(image: np.ndarray, parse: np.ndarray, keypoints: np.ndarray, rounded: bool = True) -> np.ndarray:
    """One person's 22 channels as the data set makes them, with Pillow. `image` (H, W, 3) uint8. In 8 bits Pillow rounds
    the body's shape after each pass of its filter, by 1.7 grey levels in all at most; not if it is not to be
    `rounded`."""
    height, width = parse.shape
    shape = Image.fromarray(((parse > 0) * 255).astype(np.uint8 if rounded else np.float32))
    shape = shape.resize((width // 16, height // 16), Image.Resampling.BILINEAR)
    shape = shape.resize((width, height), Image.Resampling.BILINEAR)
    head = np.isin(parse, (1, 2, 4, 13)).astype(np.float32)[..., None]
    kept = (image / 127.5 - 1) * head - (1 - head)
    channels = [np.asarray(shape)[..., None] / 127.5 - 1, kept]
    for x, y, *_ in keypoints:
        square = Image.new("L", (width, height))
        if x > 1 and y > 1:
            ImageDraw.Draw(square).rectangle((x - 5, y - 5, x + 5, y + 5), "white", "white")
        channels.append(np.asarray(square)[..., None] / 127.5 - 1)
    return np.concatenate(channels, axis=2).transpose(2, 0, 1).astype(np.float32)


def sample(
    image: np.ndarray, cloth: np.ndarray, mask: np.ndarray, parse: np.ndarray, keypoints: np.ndarray,
    rounded: bool = True,
) -> dict[str, Tensor]:  # fmt: skip
    """One pair as the data set gives it; pictures (H, W, 3) and `mask`, `parse` (H, W) uint8; `rounded` as above."""

    def normalised(picture: np.ndarray) -> Tensor:
        return torch.from_numpy(picture.transpose(2, 0, 1).astype(np.float32) / 255 - 0.5) / 0.5

    worn = torch.from_numpy(np.isin(parse, (5, 6, 7)).astype(np.float32))
    person = normalised(image)
    return {
        "image": person, "cloth": normalised(cloth),
        "cloth_mask": torch.from_numpy((mask >= 128).astype(np.float32))[None],
        "agnostic": torch.from_numpy(agnostic(image, parse, keypoints, rounded)),
        "parse_cloth": person * worn + (1 - worn),
    }  # fmt: skip


def read_sample(split: Path, person: str, cloth: str, rounded: bool = True) -> dict[str, Tensor]:
    """The same from the files of a VITON folder."""

    def array(file: Path) -> np.ndarray:
        return np.asarray(Image.open(file))

    pose = json.loads((split / "pose" / f"{person}_keypoints.json").read_text())["people"][0][
        "pose_keypoints"
    ]
    (mask,) = (split / "cloth-mask").glob(f"{cloth}.*")
    return sample(
        array(split / "image" / f"{person}.jpg"), array(split / "cloth" / f"{cloth}.jpg"), array(mask),
        array(split / "image-parse" / f"{person}.png"), np.array(pose).reshape(-1, 3), rounded,
    )  # fmt: skip


# -- training ---------------------------------------------------------------------------------------------------


def tps_grid(theta: Tensor, size: tuple[int, int] = (256, 192)) -> Tensor:
    """As `tps_grid_by_points`, (B, *size, 2), with gradients."""
    axis = np.linspace(-1, 1, 5)
    p_y, p_x = (p.reshape(-1) for p in np.meshgrid(axis, axis))
    x, y = (p.reshape(-1) for p in np.meshgrid(np.linspace(-1, 1, size[1]), np.linspace(-1, 1, size[0])))

    def kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        d = (x[:, None] - p_x) ** 2 + (y[:, None] - p_y) ** 2
        return np.where(d == 0, 0.0, d * np.log(np.where(d == 0, 1.0, d)))

    system = np.zeros((28, 28))
    system[:25, :25] = kernel(p_x, p_y)
    system[:25, 25:] = np.stack([np.ones(25), p_x, p_y], 1)
    system[25:, :25] = system[:25, 25:].T
    solved = torch.from_numpy(np.linalg.inv(system)[:, :25])  # weights (28,) of the points' places (25,)
    at = torch.from_numpy(np.concatenate([kernel(x, y), np.stack([np.ones(len(x)), x, y], 1)], 1))
    places = theta.double().view(-1, 2, 25) + torch.from_numpy(np.stack([p_x, p_y]))
    return (places @ solved.T @ at.T).permute(0, 2, 1).reshape(-1, *size, 2).float()


def write_vgg19(path: Path) -> None:
    """A file like torchvision's: random convolutions that share their numbers, so that it stays small."""
    numbers = torch.randn(512 * 512 * 9, generator=torch.Generator().manual_seed(0)) * 0.02
    with torch.device("meta"):
        shapes = {k: v.shape for k, v in vgg19(weights=None).features.state_dict().items()}
    torch.save({f"features.{k}": numbers[: s.numel()].view(s) for k, s in shapes.items()}, path)


class VGGLoss(nn.Module):
    """L1 of VGG19's maps at relu1_1, relu2_1, …, relu5_1, with weights 1/32, 1/16, 1/8, 1/4 and 1."""

    def __init__(self, weights: Path) -> None:
        super().__init__()
        state = {k.removeprefix("features."): v for k, v in torch.load(weights, weights_only=True).items()}
        with torch.device("meta"):
            self.features = vgg19(weights=None).features
        self.features.load_state_dict(state, assign=True)
        self.features.requires_grad_(False)

    def maps(self, x: Tensor) -> list[Tensor]:
        found = []
        for index, layer in enumerate(self.features[:30]):
            x = F.relu(x) if isinstance(layer, nn.ReLU) else layer(x)
            if index in (1, 6, 11, 20, 29):
                found.append(x)
        return found

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        pairs = zip((1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0), self.maps(x), self.maps(y), strict=True)
        return sum((share * F.l1_loss(a, b.detach()) for share, a, b in pairs), torch.zeros(()))


def adam(network: nn.Module) -> torch.optim.Adam:
    """The optimiser of both stages; its rate stays: the code builds a scheduler and never steps it."""
    return torch.optim.Adam(network.parameters(), lr=0.0001, betas=(0.5, 0.999))


def gmm_losses(network: GMM, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """What the first stage descends."""
    grid = tps_grid(network(inputs["agnostic"], inputs["cloth"]))
    return {"l1": F.l1_loss(warp(inputs["cloth"], grid), inputs["parse_cloth"])}


def tom_losses(
    network: UnetGenerator, vgg: VGGLoss, inputs: dict[str, Tensor], warped: Tensor, mask: Tensor
) -> dict[str, Tensor]:
    """What the second stage descends the sum of, on warps that the first one made: `mask` is 0 or 1."""
    _, composition_mask, picture = tryon(network, inputs["agnostic"], warped)
    return {
        "l1": F.l1_loss(picture, inputs["image"]), "perceptual": vgg(picture, inputs["image"]),
        "mask": F.l1_loss(composition_mask, mask),
    }  # fmt: skip


@torch.no_grad()
def warped_cloth(network: GMM, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """The first stage's test: warped cloth, and its mask as the second stage reads it from 8 bits. Between its stages
    CP-VTON writes JPEG of quality 75; here nothing is lost."""
    grid = tps_grid(network.eval()(inputs["agnostic"], inputs["cloth"]))
    mask = F.grid_sample(inputs["cloth_mask"], grid, padding_mode="zeros", align_corners=True)
    return warp(inputs["cloth"], grid), ((mask * 255).to(torch.uint8) >= 128).float()
