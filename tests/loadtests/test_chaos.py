"""Chaos: a seed decides the faults, a muted connection stays open and silent, and a product
survives."""

import os
import socket
import stat
from pathlib import Path

import psutil
import pytest

from loadtests import chaos
from loadtests.proxy import Proxy
from tests.cluster import PATIENCE
from tests.conftest import RedisServer
from tests.processes import completed


def test_a_seed_decides_the_faults() -> None:
    assert chaos.plan(7, 120) == chaos.plan(7, 120)
    assert chaos.plan(7, 120) != chaos.plan(8, 120)
    short, long = chaos.plan(7, 60), chaos.plan(7, 300)
    assert long[: len(short)] == short


def test_all_faults_end_in_time() -> None:
    for seed in range(20):
        faults = chaos.plan(seed, 100)
        assert all(0 < fault.at < fault.at + fault.duration <= 100 for fault in faults)
        assert [fault.at for fault in faults] == sorted(fault.at for fault in faults)


def test_every_fault_occurs_within_five_minutes() -> None:
    faults = {(fault.kind, fault.target) for fault in chaos.plan(1, 300 - chaos.CALM_SECONDS)}
    everything = {(kind, target) for kind in ("kill", "pause") for target in chaos.PROCESSES}
    assert faults == everything | {("mute", "postgres"), ("mute", "redis")}


def test_a_muted_connection_is_open_and_silent_and_a_new_one_works(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    own = tmp_path / "proxy.sock"
    with Proxy(redis_server.embedded.socket, own) as proxy, _opened(own) as before:
        assert _ping(before) == b"+PONG\r\n"
        assert proxy.mute() == 1
        before.sendall(b"PING\r\n")
        before.settimeout(0.3)
        with pytest.raises(TimeoutError):
            before.recv(100)
        with _opened(own) as after:
            assert _ping(after) == b"+PONG\r\n"
            assert proxy.mute() == 1
            redis_server.stop()
            after.settimeout(0.3)
            with pytest.raises(TimeoutError):
                after.recv(100)  # the end of the connection is not passed on either
    assert not own.exists()


def test_the_proxy_has_the_permissions_of_its_target(tmp_path: Path) -> None:
    """As root, the product runs as Postgres's user, if that one can read the interpreter."""
    target, own = tmp_path / "target.sock", tmp_path / "proxy.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(target))
        target.chmod(0o660)
        if os.geteuid() == 0:
            os.chown(target, 12_345, 54_321)
        with Proxy(target, own):
            expected, actual = target.stat(), own.stat()
    assert stat.S_IMODE(actual.st_mode) == 0o660
    assert (actual.st_uid, actual.st_gid) == (expected.st_uid, expected.st_gid)


def _opened(path: Path) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(PATIENCE)
    client.connect(str(path))
    return client


def _ping(client: socket.socket) -> bytes:
    client.sendall(b"PING\r\n")
    return client.recv(100)


@pytest.mark.timeout(300)
def test_a_product_survives_and_no_process_remains(
    tmp_path: Path, in_memory: dict[str, str]
) -> None:
    log = tmp_path / "product.log"
    options = ["--minutes", "0.7", "--seed", "3", "--people", "10", "--log", str(log)]
    result = completed(["chaos", *options], variables=in_memory, program="loadtests", seconds=280)
    assert result.returncode == 0, result.stdout + result.stderr + log.read_text()[-5_000:]
    assert "PASS: all checks passed." in result.stdout
    faults = [line for line in result.stdout.splitlines() if " s  " in line[:12]]
    assert len(faults) == len(chaos.plan(3, 0.7 * 60 - chaos.CALM_SECONDS)) > 3
    folder = next(line for line in log.read_text().splitlines() if "Unix socket" in line).split(
        '"'
    )[1]
    assert not [
        process
        for process in psutil.process_iter()
        if folder.rpartition("/pg/")[0] in _command(process)
    ]


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
