"""The page's server under load: many requests from several clients; are all answered, and does memory stay flat?

    python benchmarks/web.py --requests 200 --clients 4

A row for every 20 answers: seconds, resident memory of the server in MB.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
from PIL import Image

SAMPLES = Path(__file__).resolve().parent.parent / "sample_data"


def main() -> None:
    """Start a server, ask it, and print what was answered."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--height", type=int, default=640, help="rows of the person's photo")
    options = parser.parse_args()
    command = [sys.executable, "-m", "vtcli", "web", "--port", "0", "--device", "cpu"]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert server.stderr is not None
    found = re.search(r"http://\S+", server.stderr.readline())
    assert found, "the server did not start"
    try:
        _load(found[0], server.pid, options.requests, options.clients, options.height)
    finally:
        server.terminate()
        server.wait(60)


def _load(address: str, pid: int, requests: int, clients: int, height: int) -> None:
    people = [SAMPLES / "person.jpg", *sorted((SAMPLES / "test" / "image").glob("*.jpg"))[:7]]
    photos = [_enlarged(path, height) for path in people]
    cloths = [path.read_bytes() for path in sorted((SAMPLES / "test" / "cloth").glob("*.jpg"))[:8]]
    begun, lock, counts = time.monotonic(), threading.Lock(), {"result": 0, "refused": 0, "lost": 0}
    print(f"at the start: {_resident(pid):.0f} MB")

    def ask(number: int) -> None:
        files = [
            ("person", photos[number % len(photos)]),
            ("cloth", cloths[number // len(photos) % len(cloths)]),
        ]
        answer = httpx.post(f"{address}/api/tryon", files=files, timeout=600)
        events = [json.loads(line) for line in answer.text.splitlines()] if answer.status_code == 200 else []
        kinds = [event["event"] for event in events]
        for event in events:
            if event["event"] == "result":
                httpx.get(f"{address}/api/results/{event['id']}/image.png", timeout=60)
                httpx.post(f"{address}/api/forget", content=event["id"])  # as a page does that is closed
        with lock:
            counts["result" if "result" in kinds else "refused" if "refused" in kinds else "lost"] += 1
            done = sum(counts.values())
            if done % 20 == 0:
                print(
                    f"{done} of {requests}: {time.monotonic() - begun:.0f} s, {_resident(pid):.0f} MB",
                    flush=True,
                )

    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(ask, range(requests)))
    print(counts)


def _enlarged(path: Path, height: int) -> bytes:
    image = Image.open(path).convert("RGB")
    data = io.BytesIO()
    image.resize((round(height * image.width / image.height), height), Image.Resampling.BICUBIC).save(
        data, "JPEG"
    )
    return data.getvalue()


def _resident(pid: int) -> float:
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


if __name__ == "__main__":
    main()
