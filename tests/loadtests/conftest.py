"""A place for the products that load runs start."""

import shutil
from collections.abc import Iterator

import pytest

from tests.cluster import temporary_folder


@pytest.fixture
def in_memory() -> Iterator[dict[str, str]]:
    """The environment of a load run whose product keeps its data in memory. On a disk, syncing the
    files of a new Postgres takes most of its CPU."""
    folder = temporary_folder()
    folder.chmod(0o755)  # as root, Postgres runs as another user
    yield {"TMPDIR": str(folder)}
    shutil.rmtree(folder)
