"""Imported by the fork server of tests/processes.py, and by no test: each of the product's
processes begins as a copy of that server, in which everything is imported already."""

import gc
import importlib

for _name in (
    "app.__main__",
    "app.main",
    "app.web.http_protocol",
    "jobs.worker",
    "realtime.endpoint",
    "realtime.relay",
    "realtime.shutdown",
    "tests.jobs.killable",
    "tests.processes",
):
    importlib.import_module(_name)

# Imported objects stay in pages of memory that all copies share.
gc.collect()
gc.freeze()
