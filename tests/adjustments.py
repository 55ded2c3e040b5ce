"""What differs in the product under test, in the process of the tests and in those that it forks.
Its time-outs would depend on the machine, and its hashes of passwords would take much of the CPU
(tests/accounts/test_password.py checks their strength)."""

from argon2 import PasswordHasher

from app import limits
from app.accounts import password
from tests.cluster import PATIENCE

# A limiter whose Redis answers late counts on its own for a while, and a password that is hashed
# late is refused.
limits._REDIS_SECONDS = PATIENCE
password._SECONDS = int(PATIENCE)

STRONG = (password._hasher, password._DUMMY_HASH)
password._hasher = PasswordHasher(time_cost=2, memory_cost=16, parallelism=1)
password._DUMMY_HASH = password._hasher.hash("a random password")
