"""The calls of catalog over HTTP."""

from starlette.routing import Route

routes: list[Route] = []
