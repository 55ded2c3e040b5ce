"""The calls of accounts over HTTP."""

from starlette.routing import Route

routes: list[Route] = []
