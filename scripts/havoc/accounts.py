"""Accounts: people with tokens, made through Django in one go."""

from __future__ import annotations

from collections.abc import Callable

_CODE = """
from usage.models import User
from usage.tokens import token_create
for number in range({users}):
    user = User.objects.create_user(f"user{{number}}@example.com")
    print("ACCOUNT", user.pk, token_create(user))
"""


def accounts_make(manage: Callable[..., str], users: int) -> list[tuple[int, str]]:
    """Make users; return the id and a token of each. `manage` runs one of Django's commands."""
    printed = manage("shell", "-c", _CODE.format(users=users))
    lines = [line.split() for line in printed.splitlines() if line.startswith("ACCOUNT ")]
    return [(int(pk), token) for _, pk, token in lines]
