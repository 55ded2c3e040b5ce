"""`/embed.js`: the web component with which other sites show an instructor's live board
(docs/embedding.md)."""

from collections.abc import Callable
from typing import cast

from starlette.responses import Response
from starlette.routing import Route

from app import web
from app.web import Request

# The sites that embed boards get a new release within this time.
SECONDS = 300


@web.public
async def script(request: Request) -> Response:
    """A module that loads the component from its current address."""
    static = cast(Callable[[str], str], request.state["templates"].globals["static"])
    headers = {
        "Access-Control-Allow-Origin": "*",
        "Cache-Control": f"public, max-age={SECONDS}",
    }
    return Response(
        f'import "{static("embed.js")}";\n', headers=headers, media_type="text/javascript"
    )


routes = [Route("/embed.js", script, methods=["GET"])]
