"""The results folder: what a run over a split writes, and all that `score` reads.

RESULTS_DIR/images/NAME.png    the try-on pictures (or warps)
            parse/NAME.png     M_exp as LIP labels, where asked for
            results.json       see `ResultsInfo`
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from vtcli.core.system.errors import VtcliError
from vtcli.core.system.files import is_plain_name, read_json, write_json

FORMAT = "vtcli-results"
VERSION = 1


@dataclass
class ResultPair:
    """One picture: `images/{name}.png` shows `person` in `cloth`; `seen` as in the store's manifest."""

    name: str
    person: str
    cloth: str
    seen: bool = False


@dataclass
class ResultsInfo:
    """What `results.json` says.

    `kind` is "tryon" or "warp"; `keep` "head" or "outside"; `pairing` "paired", "unpaired" or the pairs
    file's name; `store` the absolute path of the prepared split (the reference photos); `weights` maps a
    stage ("gmm", "tom", "parser") to the SHA-256 of its file; `seconds` is what the run took.
    `figures` are the run's own metrics, if any, such as "warp_iou": {picture name: value}.
    """

    kind: str
    keep: str
    pairing: str
    split: str
    store: str
    size: tuple[int, int]
    pairs: list[ResultPair]
    weights: dict[str, str] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    device: str = "cpu"
    seconds: float = 0.0
    figures: dict[str, dict[str, float]] = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        """Write `folder/results.json`, whole or not at all."""
        write_json(Path(folder) / "results.json", {"format": FORMAT, "version": VERSION, **asdict(self)})

    @classmethod
    def load(cls, folder: Path) -> ResultsInfo:
        """Read `folder/results.json`; VtcliError says what is missing or off."""
        path = Path(folder) / "results.json"
        if not path.is_file():
            raise VtcliError(f"{folder}: no results.json here; `vtcli tryon --data … -o {folder}` writes one")
        value = read_json(path)
        if not isinstance(value, dict) or value.get("format") != FORMAT or value.get("version") != VERSION:
            raise VtcliError(f"{path}: not a results file that this vtcli reads")
        try:
            fields = {k: v for k, v in value.items() if k in cls.__dataclass_fields__}
            fields["pairs"] = [ResultPair(**pair) for pair in fields["pairs"]]
            height, width = fields["size"]
            fields["size"] = (int(height), int(width))
            for pair in fields["pairs"]:
                if not is_plain_name(pair.name):
                    raise ValueError(f"{pair.name!r} is not a file name")
            for key, kind in (
                ("options", dict),
                ("figures", dict),
                ("weights", dict),
                ("seconds", (int, float)),
            ):
                if not isinstance(fields.get(key, kind() if isinstance(kind, type) else 0), kind):
                    raise TypeError(key)
            return cls(**fields)
        except (KeyError, TypeError, ValueError, OverflowError) as problem:
            raise VtcliError(f"{path}: broken results file ({problem!r})") from problem


def image_file(folder: Path, name: str) -> Path:
    """Where the picture called `name` lies."""
    return Path(folder) / "images" / f"{name}.png"


def parse_file(folder: Path, name: str) -> Path:
    """Where the M_exp map called `name` lies."""
    return Path(folder) / "parse" / f"{name}.png"
