"""A JSON object from a server, read field by field."""

import json
from typing import Any

from workers.comfy.errors import BadReply


class JsonObject:
    """A JSON object whose fields are checked when they are read.

    Raises BadReply, naming the place and the field but never the value, where a field is missing
    or has another type.
    """

    __slots__ = ("_fields", "_where")

    def __init__(self, fields: object, *, where: str) -> None:
        if not isinstance(fields, dict):
            raise BadReply(f"{where}: an object was expected, not {type(fields).__name__}.")
        self._fields: dict[str, Any] = fields
        self._where = where

    @classmethod
    def parse(cls, text: bytes | str, *, where: str) -> "JsonObject":
        """Decode JSON text that must be an object."""
        try:
            return cls(json.loads(text), where=where)
        except (ValueError, RecursionError) as error:
            raise BadReply(f"{where}: not JSON.") from error

    def __contains__(self, name: str) -> bool:
        return name in self._fields

    def __bool__(self) -> bool:
        return bool(self._fields)

    def text(self, name: str, default: str | None = None) -> str:
        """Return a string; `default` stands in for one that is missing or null."""
        value = self._fields.get(name)
        if value is None and default is not None:
            return default
        if not isinstance(value, str):
            raise self._wrong(name, "a string")
        return value

    def optional_text(self, name: str) -> str | None:
        """Return a string, or None where it is missing or null."""
        return None if self._fields.get(name) is None else self.text(name)

    def integer(self, name: str) -> int:
        """Return a whole number, written with or without a fraction of zero."""
        value = self.number(name)
        if value != int(value):
            raise self._wrong(name, "a whole number")
        return int(value)

    def optional_integer(self, name: str) -> int | None:
        """Return a whole number, or None where it is missing or null."""
        return None if self._fields.get(name) is None else self.integer(name)

    def number(self, name: str) -> float:
        """Return a finite number."""
        value = self._fields.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._wrong(name, "a number")
        if not -1e300 < value < 1e300:  # also false for NaN
            raise self._wrong(name, "a finite number")
        return value

    def boolean(self, name: str, *, default: bool | None = None) -> bool:
        """Return true or false; `default` stands in for one that is missing."""
        value = self._fields.get(name, default)
        if not isinstance(value, bool):
            raise self._wrong(name, "true or false")
        return value

    def child(self, name: str) -> "JsonObject":
        """Return an object; one that is missing or null is an empty object."""
        return JsonObject(self._fields.get(name) or {}, where=f"{self._where}.{name}")

    def items(self, name: str) -> list[Any]:
        """Return an array; one that is missing or null is an empty array."""
        value = self._fields.get(name)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self._wrong(name, "an array")
        return value

    def children(self) -> "list[tuple[str, JsonObject]]":
        """Return the fields that are objects, in order; the others are passed over."""
        return [
            (name, JsonObject(value, where=f"{self._where}.{name}"))
            for name, value in self._fields.items()
            if isinstance(value, dict)
        ]

    def raw(self, name: str) -> Any:
        """Return a field as it came, or None."""
        return self._fields.get(name)

    def names(self) -> list[str]:
        """Return the names of all fields, in order."""
        return list(self._fields)

    def _wrong(self, name: str, wanted: str) -> BadReply:
        return BadReply(f"{self._where}: {name!r} is not {wanted}.")
