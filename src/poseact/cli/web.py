"""`poseact web`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from poseact.cli.options import Device, Exit, people_count
from poseact.cli.terminal import Terminal
from poseact.web.limits import Limits

TOKEN = "POSEACT_TOKEN"


@dataclass(frozen=True)
class Web:
    """A service: predictions over HTTP, and a page that predicts in the browser (an extra)."""

    host: str = "127.0.0.1"
    """Address to listen at; 0.0.0.0 is every network, which should have a --token."""
    port: int = 8000
    """Port to listen at."""
    token: str | None = None
    """What clients must send; better in the environment, as POSEACT_TOKEN."""
    folder: Path = Path("poseact_web")
    """Folder for the jobs and, while they are needed, the uploads."""
    weights: str = "spnet-s"
    """A shipped model (see `poseact models`), a weights file or an exported one (.onnx)."""
    exit: Exit = None
    """Stop at this prediction block: faster, less exact."""
    people: Annotated[str, arg(metavar="all|one|N")] = "all"
    """How many people to follow at most; the largest."""
    device: Device = None
    """cpu, cuda, cuda:1, ...; by default a GPU if there is one."""
    threads: Annotated[int | None, arg(metavar="N")] = None
    """CPU threads."""
    limits: Limits = Limits()

    def run(self) -> int:
        try:
            import uvicorn

            from poseact.web.app import LOOPBACK, Service, application
        except ImportError as error:
            raise ImportError(f"{error.name} is missing: pip install 'poseact[web]'") from error
        from poseact.inference.predictor import Predictor

        console, token = Terminal(), self.token or os.environ.get(TOKEN)
        loopback = self.host in LOOPBACK
        if not loopback and not token:
            console.warn(f"{self.host} is open to others and there is no --token: anyone may ask")
        predictor = Predictor(
            self.weights,
            exit=self.exit,
            device=self.device,
            threads=self.threads,
            people=people_count(self.people),
        )

        def service() -> Service:
            return Service(predictor, self.folder, self.limits, model=self.weights, exit=self.exit)

        app = application(
            service, limits=self.limits, token=token, hosts=LOOPBACK if loopback else ()
        )
        console.say(f"http://{self.host}:{self.port} (Ctrl-C ends it)")
        uvicorn.run(app, host=self.host, port=self.port, log_level="warning", server_header=False)
        return 0
