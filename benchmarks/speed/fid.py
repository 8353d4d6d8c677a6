"""What FID costs: `vtcli score` with and without it, and Inception alone on as many pictures.

The weights are random: they take as long as the published ones, which have to be downloaded.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

from benchmarks.speed import commands


def write_weights(path: Path) -> None:
    """A state dict of pytorch-fid's Inception, at random, to `path`."""
    import torch
    from pytorch_fid import inception
    from torch import nn

    inception.load_state_dict_from_url = lambda *_, **__: {}
    load, nn.Module.load_state_dict = nn.Module.load_state_dict, lambda *_, **__: None  # type: ignore
    net = inception.fid_inception_v3()
    nn.Module.load_state_dict = load  # type: ignore[method-assign]
    torch.save(net.state_dict(), path)


def alone(weights: Path, pictures: int, device: str, out: Path) -> None:
    """Seconds that pytorch-fid's own network takes for so many pictures, in its batches of 50, to `out`."""
    import torch

    from vtcli.core.scoring.features import BATCH, InceptionFeatures
    from vtcli.core.system import runtime

    runtime.keep_memory()
    net = InceptionFeatures(weights, torch.device(device))
    batch = torch.randint(0, 256, (BATCH, 3, 256, 192), dtype=torch.uint8)
    with torch.inference_mode():
        net(batch[:4]).cpu()
        start = time.perf_counter()
        for first in range(0, pictures, BATCH):
            net(batch[: min(BATCH, pictures - first)]).cpu()
        out.write_text(json.dumps(time.perf_counter() - start))


def share(results: Path, count: int, device: str, work: Path) -> dict[str, float]:
    """Of `count` results: seconds of Inception alone, what FID adds to `vtcli score`, and the share of the two."""
    weights, out = work / "inception.pth", work / "inception.json"
    module = "from benchmarks.speed.fid import alone, write_weights; from pathlib import Path; "
    commands.run("-c", f"{module} write_weights(Path({str(weights)!r}))")
    call = ("score", results, "--bootstrap", 0, "--device", device)
    without = commands.vtcli(*call).seconds
    whole = commands.vtcli(*call, "--inception-weights", weights).seconds
    # Results and photos go through the network.
    commands.run("-c", f"{module} alone(Path({str(weights)!r}), {2 * count}, {device!r}, Path({str(out)!r}))")
    inception = float(json.loads(out.read_text()))
    return {"seconds": inception, "added_seconds": whole - without, "share": inception / (whole - without)}
