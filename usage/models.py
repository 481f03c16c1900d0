"""People and what they used.

`User` is named by its e-mail address. `QuotaDay` counts a user's reserved and settled images of one
UTC day; `LedgerEntry` says why it has that count, one line for each job and kind. `AddressDay`
knows no users: it counts callers by a hash of their address, in a database of its own.
"""

from __future__ import annotations

from typing import ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils import timezone


class UserAccounts(BaseUserManager["User"]):
    """Makes users from an e-mail address; addresses are compared without regard to case."""

    def create_user(self, email: str, password: str | None = None, **fields: object) -> User:
        """Make a user; without a password nobody can sign in as them."""
        if not email.strip():
            raise ValueError("A user needs an e-mail address.")
        user = self.model(email=self.normalize_email(email).lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: object) -> User:
        """Make a user who may do everything in the admin."""
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)

    def get_by_natural_key(self, username: str | None) -> User:
        """Find the user by address, in any case."""
        return self.get(email__iexact=username)


class Plan(models.Model):
    """What a group of users may have; empty fields mean the server's own limits."""

    name = models.CharField(max_length=60, unique=True)
    weight = models.PositiveSmallIntegerField(
        default=1,
        validators=[MinValueValidator(1)],
        help_text="Share of GPU time: 3 gets three times as much as 1 while both wait.",
    )
    daily_limit = models.PositiveIntegerField("images a day", null=True, blank=True)
    in_flight_limit = models.PositiveSmallIntegerField(
        "jobs on nodes at once", null=True, blank=True, validators=[MinValueValidator(1)]
    )
    queue_limit = models.PositiveIntegerField(
        "jobs waiting at once", null=True, blank=True, validators=[MinValueValidator(1)]
    )

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(weight__gte=1), name="plan_weight")]

    def __str__(self) -> str:
        return self.name


class User(AbstractBaseUser, PermissionsMixin):
    """Somebody who may sign in."""

    email = models.EmailField("e-mail address", max_length=254, unique=True)
    is_active = models.BooleanField("may sign in", default=True)
    is_staff = models.BooleanField("may use the admin", default=False)
    date_joined = models.DateTimeField(default=timezone.now, editable=False)
    plan = models.ForeignKey(Plan, on_delete=models.SET_NULL, null=True, blank=True)
    daily_limit = models.PositiveIntegerField(
        "images a day",
        null=True,
        blank=True,
        help_text="Empty: the plan's limit, or the server's. 0: none at all.",
    )

    objects: ClassVar[UserAccounts] = UserAccounts()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        constraints = [models.UniqueConstraint(Lower("email"), name="user_email_without_case")]

    def __str__(self) -> str:
        return self.email


class QuotaDay(models.Model):
    """How many images a user has reserved or had on one UTC day."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="quota_days")
    day = models.DateField()
    used = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "day"], name="quota_day_once")]

    def __str__(self) -> str:
        return f"{self.user} {self.day}: {self.used}"


class LedgerKind(models.TextChoices):
    """Why a line stands in the ledger."""

    RESERVE = "reserve", "reserved when the job was accepted"
    SETTLE = "settle", "kept, because the job succeeded"
    REFUND = "refund", "given back, because the job failed or was cancelled"


class LedgerEntry(models.Model):
    """One change of a user's count: +1 reserves, 0 settles, -1 refunds.

    `job_id` is not a foreign key: the ledger outlives a job that its owner deletes.
    """

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="ledger")
    day = models.DateField(help_text="The day whose count changed: that of the reservation.")
    job_id = models.UUIDField()
    kind = models.CharField(max_length=8, choices=LedgerKind.choices)
    amount = models.SmallIntegerField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name_plural = "ledger entries"
        constraints = [
            models.UniqueConstraint(fields=["job_id", "kind"], name="ledger_once_per_job_and_kind"),
            # A job is settled or refunded, never both.
            models.UniqueConstraint(
                fields=["job_id"], condition=~Q(kind="reserve"), name="ledger_one_outcome"
            ),
            models.CheckConstraint(
                condition=Q(kind="reserve", amount=1)
                | Q(kind="settle", amount=0)
                | Q(kind="refund", amount=-1),
                name="ledger_amount_fits_kind",
            ),
        ]
        indexes = [models.Index(fields=["user", "day"], name="ledger_user_day")]

    def __str__(self) -> str:
        return f"{self.kind} {self.job_id}"


class AddressDay(models.Model):
    """How many generations were accepted from one caller on one UTC day; see `usage.counts`.

    It is in the database `usage`, and `address_hash` leads back to nobody without the salt.
    """

    day = models.DateField()
    address_hash = models.CharField(max_length=64)
    accepted = models.PositiveIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["day", "address_hash"], name="address_day_once")
        ]

    def __str__(self) -> str:
        return f"{self.day}: {self.accepted}"
