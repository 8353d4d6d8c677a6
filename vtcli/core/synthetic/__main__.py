"""`python -m vtcli.core.synthetic OUT_DIR --train N --test M --seed S`: write a VITON folder."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from vtcli.core.synthetic.generate import write_loose, write_viton
from vtcli.core.system.errors import VtcliError


def main(arguments: list[str] | None = None) -> int:
    """Write the folder; exit code 1 with one line when it cannot be written."""
    parser = argparse.ArgumentParser(
        prog="python -m vtcli.core.synthetic", description="Write drawn sample data."
    )
    parser.add_argument("out", type=Path, metavar="OUT_DIR")
    parser.add_argument("--train", type=int, default=40, help="pairs of the train split")
    parser.add_argument("--test", type=int, default=16, help="pairs of the test split")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--height", type=int, default=256, help="height of the pictures; the width is 3/4 of it"
    )
    parser.add_argument("--samples", type=int, default=3, help="rays along each side of a pixel")
    parser.add_argument("--loose", action="store_true", help="also write person.jpg and cloth.jpg")
    options = parser.parse_args(arguments)
    if options.train < 0 or options.test < 0 or options.height < 32 or options.samples < 1:
        parser.error("--train and --test need 0 or more, --height 32 or more, --samples 1 or more")
    size = (options.height, options.height * 3 // 4)
    try:
        for split, number in write_viton(
            options.out, options.train, options.test, options.seed, size, options.samples
        ):
            print(f"\r{split} {number + 1} ", end="", file=sys.stderr, flush=True)
        if options.loose:
            write_loose(options.out)
    except VtcliError as problem:
        print(f"\n{problem}", file=sys.stderr)
        return problem.exit_code
    print(file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
