"""The two halves of a test split: one chooses between trainings, the other only judges."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import write_store

from vtcli.core.data.store import PreparedStore
from vtcli.core.data.validation import HALVES, half, write_half
from vtcli.core.system.errors import VtcliError


def test_halves_follow_from_content_alone(tmp_path: Path) -> None:
    write_store(tmp_path, "test", 9, seed=1)
    store = PreparedStore.open(tmp_path, "test")
    entries = [replace(e, hash=f"{(7 * i) % 9}{'0' * 8}") for i, e in enumerate(store.manifest.entries)]
    entries[3] = replace(entries[3], seen=True)
    store.manifest.entries = entries
    choosing, final = (half(store, name).tolist() for name in HALVES)
    assert sorted(choosing + final) == [0, 1, 2, 4, 5, 6, 7, 8] and len(choosing) == len(final) == 4
    assert max(entries[i].hash for i in choosing) < min(entries[i].hash for i in final)
    content = {entries[i].hash for i in choosing}
    store.manifest.entries = [replace(e, name=f"{9 - i}_0") for i, e in enumerate(entries[::-1])]
    assert {store.manifest.entries[i].hash for i in half(store, "choosing")} == content


def test_a_half_is_a_store_of_its_own(tmp_path: Path) -> None:
    write_store(tmp_path, "test", 6, seed=1)
    store = PreparedStore.open(tmp_path, "test")
    made = {name: write_half(store, name, tmp_path / name / "test") for name in HALVES}
    names = [entry.name for name in HALVES for entry in made[name].manifest.entries]
    assert sorted(names) == [entry.name for entry in store.manifest.entries]
    for name in HALVES:
        rows, part = half(store, name), made[name]
        for field in ("image", "front_mask", "keypoints"):
            assert np.array_equal(part.read(field, range(len(part))), store.read(field, rows))
        own = {entry.name: entry.cloth for entry in part.manifest.entries}
        people, cloths = zip(*part.manifest.unpaired, strict=True)
        assert sorted(people) == sorted(own) and sorted(cloths) == sorted(own.values())
        assert all(own[person] != cloth for person, cloth in part.manifest.unpaired)
    again = write_half(store, "final", tmp_path / "final" / "test")
    assert again.manifest == made["final"].manifest


def test_one_pair_cannot_be_halved(tmp_path: Path) -> None:
    write_store(tmp_path, "test", 1, seed=1)
    store = PreparedStore.open(tmp_path, "test")
    assert half(store, "choosing").tolist() == [0]
    with pytest.raises(VtcliError, match="too few pairs"):
        write_half(store, "final", tmp_path / "final")
