"""Imported by the fork server of tests/processes.py, and by no test: each of the product's
processes begins as a copy of that server, in which everything is imported already."""

import gc
import importlib

from app import main, web

for _name in (
    "app.__main__",
    "app.web.http_protocol",
    "encodings.idna",
    "jobs.worker",
    "loadtests.__main__",
    "realtime.endpoint",
    "realtime.relay",
    "realtime.shutdown",
    "tests.adjustments",
    "tests.jobs.killable",
    "tests.processes",
    "uvicorn.lifespan.on",
    "uvicorn.loops.uvloop",
):
    importlib.import_module(_name)

# Compiled templates, too.
_templates = web.templates(main.HERE / "templates")
for _name in _templates.list_templates():
    _templates.get_template(_name)

# Imported objects stay in pages of memory that all copies share.
gc.collect()
gc.freeze()
