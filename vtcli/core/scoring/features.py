"""Pictures → feature vectors: pytorch-fid's Inception from a local file, and EfficientNet-Lite0."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vtcli.core.models import lite0
from vtcli.core.models.folding import fold_batch_norm
from vtcli.core.models.foreign import read_tensors
from vtcli.core.scoring.metrics import INCEPTION_URL
from vtcli.core.scoring.pictures import Picture
from vtcli.core.system.errors import VtcliError

BATCH = 50
"""pytorch-fid's own batch size."""
INCEPTION_DIMS = 2048
_INCEPTION_FILE = INCEPTION_URL.rsplit("/", 1)[1]
_INCEPTION_HASH = _INCEPTION_FILE.removesuffix(".pth").rsplit("-", 1)[1]


class Extractor(Protocol):
    """A feature space: `length` numbers per picture, from the weights with SHA-256 `digest`."""

    label: str
    length: int
    digest: str

    def __call__(self, pictures: Tensor) -> Tensor:
        """(B, 3, H, W) uint8 RGB → (B, length)."""
        ...


def find_inception() -> Path | None:
    """pytorch-fid's weights in torch hub's cache, where its own command would have put them."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / _INCEPTION_FILE
    return path if path.is_file() else None


@contextlib.contextmanager
def _weights_instead_of_download(module: Any, state: dict[str, Tensor]) -> Iterator[None]:
    # fid_inception_v3() has no other way in: it fetches its weights by this function of its module.
    fetch = module.load_state_dict_from_url
    module.load_state_dict_from_url = lambda *args, **kwargs: state
    try:
        yield
    finally:
        module.load_state_dict_from_url = fetch


class InceptionFeatures:
    """The pooled features of pytorch-fid's Inception with the weights in `path`; no network is asked.

    `dims` chooses pytorch-fid's block (64, 192, 768 or 2048); FID is that of 2048. `published` tells whether
    the file is the one that pytorch-fid downloads.
    """

    label = "Inception"

    def __init__(self, path: Path, device: torch.device, dims: int = INCEPTION_DIMS) -> None:
        from pytorch_fid import inception

        what = "pytorch-fid's Inception weights"
        state = read_tensors(path, what)
        self.digest = hashlib.sha256(path.read_bytes()).hexdigest()
        self.published = self.digest.startswith(_INCEPTION_HASH)
        self.length, self.device = dims, device
        try:
            with _weights_instead_of_download(inception, state):
                net = inception.InceptionV3([inception.InceptionV3.BLOCK_INDEX_BY_DIM[dims]])
        except RuntimeError as problem:
            raise VtcliError(f"{path}: not {what}; they are at {INCEPTION_URL}") from problem
        self.net: nn.Module = net.eval().to(device)

    def __call__(self, pictures: Tensor) -> Tensor:
        """(B, 3, H, W) uint8 RGB → (B, dims)."""
        maps: Tensor = self.net(pictures.to(self.device).float() / 255)[0]
        return F.adaptive_avg_pool2d(maps, 1)[..., 0, 0]


class Lite0Vectors:
    """EfficientNet-Lite0's pooled features at 224×224."""

    label = "EfficientNet-Lite0"
    length = lite0.POOLED

    def __init__(self, device: torch.device) -> None:
        self.digest = lite0.lite0_hash()
        self.device = device
        net = fold_batch_norm(lite0.Lite0Classifier().eval())
        self.net = net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def __call__(self, pictures: Tensor) -> Tensor:
        """(B, 3, H, W) uint8 RGB → (B, 1280)."""
        images = pictures.to(self.device).float() / 127.5 - 1
        images = F.interpolate(images, (224, 224), mode="bilinear", antialias=True, align_corners=False)
        vectors: Tensor = self.net.pooled(images.contiguous(memory_format=torch.channels_last))
        return vectors


def extract(
    pictures: Sequence[Picture], extractor: Extractor, advance: Callable[[int], object], batch: int = BATCH
) -> np.ndarray:
    """Features (n, length) float32 of `pictures`, in their order; `advance` hears how many are done."""
    out = np.empty((len(pictures), extractor.length), dtype=np.float32)
    row = 0
    for arrays in _read_ahead(pictures, batch):
        for _, group in itertools.groupby(arrays, key=lambda array: array.shape):
            images = torch.from_numpy(np.stack(list(group))).permute(0, 3, 1, 2)
            with torch.inference_mode():
                vectors = extractor(images)
            out[row : row + len(vectors)] = vectors.float().cpu().numpy()
            row += len(vectors)
        advance(row)
    return out


def _read(pictures: Sequence[Picture]) -> list[np.ndarray]:
    return [picture.read() for picture in pictures]


def _read_ahead(pictures: Sequence[Picture], batch: int) -> Iterator[list[np.ndarray]]:
    """Batches of pixels; the next is read while the caller works on this one."""
    with ThreadPoolExecutor(1) as reader:
        ahead: Future[list[np.ndarray]] | None = None
        for start in range(0, len(pictures), batch):
            part = pictures[start : start + batch]
            following = reader.submit(_read, part)
            if ahead is not None:
                yield ahead.result()
            ahead = following
        if ahead is not None:
            yield ahead.result()
