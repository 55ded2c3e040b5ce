"""What differs in the product under test, in the process of the tests and in those that it forks.
Its time-outs would depend on the machine. Its hashes of passwords would take much of the CPU
(tests/accounts/test_password.py checks their strength), as would compiling all templates for each
worker of pytest."""

import hashlib

import jinja2
from argon2 import PasswordHasher

from app import limits, main, web
from app.accounts import password
from tests.cluster import PATIENCE
from tests.processes import ROOT

# A limiter whose Redis answers late counts on its own for a while, and a password that is hashed
# late is refused.
limits._REDIS_SECONDS = PATIENCE
password._SECONDS = int(PATIENCE)

STRONG = (password._hasher, password._DUMMY_HASH)
password._hasher = PasswordHasher(time_cost=2, memory_cost=16, parallelism=1)
password._DUMMY_HASH = password._hasher.hash("a random password")

# Jinja compiles a changed template again, but knows nothing of changed options.
_OPTIONS = hashlib.sha256((ROOT / "app" / "web" / "responses.py").read_bytes()).hexdigest()
_compiled = ROOT / ".pytest_cache" / "templates" / _OPTIONS[:12]
_compiled.mkdir(parents=True, exist_ok=True)
web.templates(main.HERE / "templates").bytecode_cache = jinja2.FileSystemBytecodeCache(
    str(_compiled)
)
