"""The floor for cached answers: a bare Starlette application with one JSON route, on the server
and with the settings of the product. `python -m loadtests.bench.bare_json FILE` responds to
`GET /` with the JSON of that file, and prints its port."""

import json
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from app import settings
from app.web.server import Server


def application(content: object) -> Starlette:
    async def answer(_: Request) -> JSONResponse:
        return JSONResponse(content)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[dict[str, object]]:
        yield {"settings": settings.read(_env_file=None)}

    return Starlette(routes=[Route("/", answer)], lifespan=lifespan)


def main(path: Path) -> None:
    config = uvicorn.Config(
        application(json.loads(path.read_text())),
        proxy_headers=True,
        forwarded_allow_ips=settings.read(_env_file=None).trusted_proxies,
        http="app.web.http_protocol:HttpProtocol",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=75,
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
