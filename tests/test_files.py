"""Files that are there whole or not at all, with the permissions of any other program's."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from vtcli.core.system import files
from vtcli.core.system.errors import VtcliError


def test_many_threads_write_with_the_masks_permissions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process's mask is read once: threads that set and reset it would leave it at 0."""
    mask = os.umask(0)
    os.umask(mask)
    monkeypatch.setattr(os, "umask", lambda _: pytest.fail("the mask was touched"))
    with ThreadPoolExecutor(8) as pool:
        list(
            pool.map(lambda i: files.write_atomically(tmp_path / f"{i}", lambda s: s.write(b"x")), range(64))
        )
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o666 & ~mask}


def test_names_up_to_the_systems_limit_are_written(tmp_path: Path) -> None:
    """The temporary name does not grow with the name."""
    files.write_atomically(tmp_path / ("x" * 251 + ".png"), lambda stream: stream.write(b"x"))
    assert [len(path.name) for path in tmp_path.iterdir()] == [255]
    with pytest.raises(VtcliError, match="too long"):
        files.write_atomically(tmp_path / ("x" * 252 + ".png"), lambda stream: stream.write(b"x"))
    assert len(list(tmp_path.iterdir())) == 1


def test_json_of_any_unicode_encoding_is_read(tmp_path: Path) -> None:
    """PowerShell writes UTF-16 where it redirects."""
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-16-le"):
        (tmp_path / "x.json").write_bytes('{"a": ["ü"]}'.encode(encoding))
        assert files.read_json(tmp_path / "x.json") == {"a": ["ü"]}
