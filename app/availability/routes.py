"""The calls of availability over HTTP."""

from starlette.routing import Route

routes: list[Route] = []
