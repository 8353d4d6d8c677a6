"""`vtcli web`: a page to try on in, on this machine."""

from __future__ import annotations

import socket
from typing import Annotated

import typer

from vtcli.cli import console
from vtcli.cli.options import Device, Quiet, Weights
from vtcli.core.system.errors import UsageProblem, VtcliError


def web(
    host: Annotated[
        str, typer.Option(help="Address to listen at; 0.0.0.0 lets other machines in.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen at; 0 takes a free one.")
    ] = 7860,
    device: Device = "auto",
    weights: Weights = None,
    quiet: Quiet = False,
) -> None:
    """Open a page to try on in. Photos stay on this machine, in memory; nothing is loaded from elsewhere.

    **Example**

    vtcli web --port 8000
    """
    console.set_quiet(quiet)
    try:
        import python_multipart  # noqa: F401 (Starlette's forms need it)
        import starlette  # noqa: F401
        import uvicorn
    except ImportError as problem:
        raise VtcliError(
            f"the page needs {problem.name}; run `pip install -e '.[web]'` in vtcli's folder"
        ) from problem
    listening = _listen(host, port)
    from vtcli.core.tryon.pipeline import TryOn
    from vtcli.web.server import create_app, is_local

    app = create_app(TryOn.load(weights, device), host)
    shown = f"[{host}]" if ":" in host else host
    console.say(f"open http://{shown}:{listening.getsockname()[1]} in a browser; Ctrl-C ends it")
    if not is_local(host):
        console.warn("everybody who reaches this machine can use the page")
    config = uvicorn.Config(
        app,
        log_level="error",
        access_log=False,
        server_header=False,
        lifespan="on",
        timeout_graceful_shutdown=5,
    )
    uvicorn.Server(config).run(sockets=[listening])


def _listen(host: str, port: int) -> socket.socket:
    """A socket on which the page is found; UsageProblem where there is none to be had."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(128)
    except OSError as problem:
        raise UsageProblem(
            f"--host {host} --port {port}: cannot be used ({problem.strerror or problem}); choose another"
        ) from problem
    return listening
