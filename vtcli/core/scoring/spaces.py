"""The feature spaces at hand, and the distances between results and photos in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from vtcli.core.scoring import metrics
from vtcli.core.scoring.distances import Statistics, frechet_distance, kernel_distance
from vtcli.core.scoring.features import Extractor, InceptionFeatures, Lite0Vectors, find_inception
from vtcli.core.scoring.pictures import Picture
from vtcli.core.scoring.runs import Run
from vtcli.core.scoring.scores import Options, Score
from vtcli.core.system.errors import UsageProblem, VtcliError


class Spaces:
    """`have` maps a space to its extractor, `absent` to the reason why it is not there."""

    def __init__(self, options: Options, device: torch.device) -> None:
        self.have: dict[str, Extractor] = {}
        self.absent: dict[str, str] = {}
        self.notes: list[str] = []
        file = options.inception_weights or find_inception()
        if file is None:
            reason = (
                "FID and KID need Inception's weights, which are not here; download "
                f"{metrics.INCEPTION_URL} and give it with --inception-weights FILE"
            )
            if options.need_statistics:
                raise UsageProblem(f"--save-stats: {reason}")
            self.absent["inception"] = reason
        else:
            inception = InceptionFeatures(file, device)
            self.have["inception"] = inception
            if not inception.published:
                self.notes.append(
                    f"{file}: not the weights that pytorch-fid publishes; FID and KID by it do not compare "
                    "with published ones"
                )
        try:
            self.have["lite0"] = Lite0Vectors(device)
        except VtcliError as problem:
            self.absent["lite0"] = f"FD and KD (Lite0): {problem}"

    def digests(self) -> dict[str, str]:
        """Space → SHA-256 of its weights."""
        return {key: space.digest for key, space in self.have.items()}


@dataclass
class Distances:
    """Distances between results and photos; statistics of a set of photos are computed once.

    `vectors[space][picture]` are features; `fixed` the statistics that take the photos' place for FID.
    """

    vectors: dict[str, dict[Picture, np.ndarray]]
    absent: dict[str, str]
    fixed: Statistics | None
    known: dict[tuple[object, ...], Statistics] = field(default_factory=dict)

    def fill(self, score: Score) -> None:
        """Put all distances of `score`, or the reasons for their absence, into it."""
        for family in metrics.DISTANCES:
            for key in (family.frechet, family.kernel):
                reason = self._why_not(score, family.space, key)
                score.values[key] = None
                if reason is not None:
                    score.reasons[key] = reason
                else:
                    score.values[key] = self._distance(score, family, key)

    def _distance(self, score: Score, family: metrics.DistanceFamily, key: str) -> float:
        results = self._stack(family.space, [score.run.pictures[row] for row in score.rows])
        if key == "fid" and self.fixed is not None:
            return frechet_distance(self.fixed, Statistics.of(results))
        photos = _photos(score)
        if key == family.kernel:
            return kernel_distance(results, self._stack(family.space, photos))
        return frechet_distance(self._statistics(family.space, photos), Statistics.of(results))

    def features(self, score: Score, key: str) -> tuple[Statistics, np.ndarray]:
        """What the Fréchet distance `key` of `score` is between: the photos' statistics, the results' vectors."""
        space = next(family.space for family in metrics.DISTANCES if family.frechet == key)
        results = [score.run.pictures[row] for row in score.rows]
        return self._statistics(space, _photos(score)), self._stack(space, results)

    def reference_statistics(self, runs: Sequence[Run]) -> Statistics:
        """FID's statistics of the reference photos, which all `runs` must share."""
        sets = {tuple(dict.fromkeys(run.references or ())) for run in runs}
        if len(sets) != 1:
            raise UsageProblem(
                "--save-stats: the runs have different reference photos; score them one by one"
            )
        photos = next(iter(sets))
        if len(photos) < 2:
            raise UsageProblem("--save-stats: statistics need two reference photos or more")
        return self._statistics("inception", photos)

    def _stack(self, space: str, pictures: Sequence[Picture]) -> np.ndarray:
        return np.stack([self.vectors[space][picture] for picture in pictures])

    def _statistics(self, space: str, photos: Sequence[Picture]) -> Statistics:
        key = (space, tuple(photos))
        if key not in self.known:
            self.known[key] = Statistics.of(self._stack(space, photos))
        return self.known[key]

    def _why_not(self, score: Score, space: str, key: str) -> str | None:
        if space in self.absent:
            return self.absent[space]
        if len(score.rows) < 2:
            return f"a distribution needs two pictures, there are {len(score.rows)}"
        if key == "fid" and self.fixed is not None:
            if score.subset != "all":
                return "the reference statistics are of all photos, not of the unseen ones"
            return None
        if score.run.references is None:
            return "no photos to compare with: the results' store is not here"
        if len(_photos(score)) < 2:
            return "a distribution needs photos of two persons"
        return None


def _photos(score: Score) -> list[Picture]:
    """The photos of the score's persons, each once."""
    references = score.run.references or []
    return list(dict.fromkeys(references[row] for row in score.rows)) if references else []
