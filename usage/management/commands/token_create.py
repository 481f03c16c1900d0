"""`manage.py token_create`: an API token for a user, from the command line."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.core.validators import validate_email

from usage.models import User
from usage.tokens import token_create


class Command(BaseCommand):
    """Prints a new token."""

    help = "Make an API token for the user with this e-mail address and print it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Name the user; `--create` makes one who can use tokens but has no password."""
        parser.add_argument("email")
        parser.add_argument("--create", action="store_true", help="make the user if there is none")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Print the token."""
        email = str(options["email"])
        try:
            validate_email(email)
        except ValidationError as error:
            raise CommandError(f"{email!r} is not an e-mail address.") from error
        user = User.objects.filter(email__iexact=email).first()
        if user is None and options["create"]:
            user = User.objects.create_user(email)
        if user is None:
            raise CommandError(f"There is no user {email}. Add --create to make one.")
        if not user.is_active:
            raise CommandError(f"{email} may not sign in. Allow it in the admin first.")
        self.stdout.write(token_create(user))
