"""`python -m vtcli.core.synthetic OUT_DIR`: write a VITON folder; `... triplets OUT_DIR`: write triplets."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from vtcli.core.synthetic.generate import write_loose, write_viton
from vtcli.core.synthetic.triplets import write_triplets
from vtcli.core.system.errors import VtcliError


def main(arguments: list[str] | None = None) -> int:
    """Write the folder; exit code 1 with one line when it cannot be written."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        if arguments[:1] == ["triplets"]:
            _triplets(arguments[1:])
        else:
            _pairs(arguments)
    except VtcliError as problem:
        print(f"\n{problem}", file=sys.stderr)
        return 1
    print(file=sys.stderr)
    return 0


def _parser(name: str, description: str, samples: int) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m vtcli.core.synthetic{name}", description=description)
    parser.add_argument("out", type=Path, metavar="OUT_DIR")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--height", type=int, default=256, help="height of the pictures; the width is 3/4 of it"
    )
    parser.add_argument("--samples", type=int, default=samples, help="rays along each side of a pixel")
    return parser


def _parsed(parser: argparse.ArgumentParser, arguments: list[str]) -> argparse.Namespace:
    options = parser.parse_args(arguments)
    if options.train < 0 or options.test < 0 or options.height < 32 or options.samples < 1:
        parser.error("--train and --test need 0 or more, --height 32 or more, --samples 1 or more")
    options.size = (options.height, options.height * 3 // 4)
    return options


def _pairs(arguments: list[str]) -> None:
    parser = _parser("", "Write synthetic sample data as a VITON folder.", 3)
    parser.add_argument("--train", type=int, default=40, help="pairs of the train split")
    parser.add_argument("--test", type=int, default=16, help="pairs of the test split")
    parser.add_argument("--loose", action="store_true", help="also write person.jpg and cloth.jpg")
    options = _parsed(parser, arguments)
    for split, number in write_viton(
        options.out, options.train, options.test, options.seed, options.size, options.samples
    ):
        print(f"\r{split} {number + 1} ", end="", file=sys.stderr, flush=True)
    if options.loose:
        write_loose(options.out)


def _triplets(arguments: list[str]) -> None:
    parser = _parser(" triplets", "Write triplets (person in A, garment B, the same person in B).", 2)
    parser.add_argument("--train", type=int, default=1000, help="triplets of the train split")
    parser.add_argument("--test", type=int, default=200, help="triplets of the test split")
    parser.add_argument("--first", type=int, default=0, help="number of the first triplet of each split")
    parser.add_argument("--jobs", type=int, default=1, help="processes that share the work")
    options = _parsed(parser, arguments)
    if options.first < 0 or options.jobs < 1:
        parser.error("--first needs 0 or more, --jobs 1 or more")
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # of the processes that share the cores
    for split, count in (("test", options.test), ("train", options.train)):
        done = 0
        for more in write_triplets(
            options.out,
            count,
            options.seed,
            options.first,
            split,
            options.size,
            options.samples,
            options.jobs,
        ):
            done += more
            print(f"\r{split} {done} of {count} ", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
