"""Generates SQL and maps rows from the columns that `tables` declares.

A column is declared once, in `tables`. Where a domain object is stored, the field of the same
name holds its value. Statements, arrays of parameters and rows read follow from these two.
"""

from collections.abc import Iterable, Sequence
from dataclasses import fields
from operator import attrgetter
from typing import Any, Generic, TypeVar

from sqlalchemy import BigInteger, Boolean, DateTime, Integer, LargeBinary, Table, Text, Uuid

Entity = TypeVar("Entity")

POSTGRES_TYPES = {
    Uuid: "uuid",
    Text: "text",
    Integer: "integer",
    BigInteger: "bigint",
    LargeBinary: "bytea",
    DateTime: "timestamptz",
    Boolean: "boolean",
}


class Columns(Generic[Entity]):
    """Columns of one table, in the order of the fields of the class that holds their values."""

    def __init__(self, table: Table, entity: type[Entity], *only: str) -> None:
        """Take all columns of `table`, or `only` those named.

        Raises ValueError where a column has no field of its name.
        """
        wanted = only or tuple(table.columns.keys())
        self.names = tuple(name for name in _field_names(entity) if name in wanted)
        if missing := set(wanted) - set(self.names):
            raise ValueError(f"{entity.__name__} has no field for {sorted(missing)}")
        self._table = table
        self._columns = [table.columns[name] for name in self.names]
        self._values = attrgetter(*self.names)
        self._are_rows = self.names == getattr(entity, "_fields", None)

    def __len__(self) -> int:
        return len(self.names)

    def select(self, alias: str) -> str:
        """Return the list of a SELECT. IDs are read as text."""
        return ", ".join(
            f"{alias}.{column.name}" + ("::text" if isinstance(column.type, Uuid) else "")
            for column in self._columns
        )

    def unnest(self, alias: str, first: int = 1) -> str:
        """Return the rows of one array parameter for each column, numbered from `first`."""
        arrays = ", ".join(
            f"${number}::{POSTGRES_TYPES[type(column.type)]}[]"
            for number, column in enumerate(self._columns, first)
        )
        return f"unnest({arrays}) AS {alias} ({', '.join(self.names)})"

    def insert(self, first: int = 1) -> str:
        """Return an INSERT of the rows of `unnest`."""
        return (
            f"INSERT INTO {self._table.fullname} ({', '.join(self.names)})\n"
            f"    SELECT * FROM {self.unnest('new', first)}"
        )

    def update(self, first: int = 1) -> str:
        """Return an update of stored rows to the rows of `unnest`. Keys never change.

        It is an upsert that always finds its row: with `UPDATE ... FROM unnest(...)` Postgres may
        read the whole table. All columns must be here, because Postgres checks the row to insert.
        """
        keys = [column.name for column in self._columns if column.primary_key]
        changing = [
            column.name
            for column in self._columns
            if not (column.primary_key or column.foreign_keys or column.info.get("constant"))
        ]
        return (
            f"{self.insert(first)}\n"
            f"    ON CONFLICT ({', '.join(keys)}) DO UPDATE\n"
            f"    SET {', '.join(f'{name} = excluded.{name}' for name in changing)}"
        )

    def delete(self) -> str:
        """Return a DELETE of the rows of `unnest`, whose columns are the table's key.

        Each row is looked up by its key and deleted by its place. The rows must be locked, or
        guarded by a lock: one that another transaction moves meanwhile might be missed.
        """
        found = " AND ".join(f"stored.{name} = dropped.{name}" for name in self.names)
        return (
            f"DELETE FROM {self._table.fullname} WHERE ctid = ANY (ARRAY(\n"
            f"        SELECT found.ctid FROM {self.unnest('dropped')}\n"
            f"        CROSS JOIN LATERAL (\n"
            f"            SELECT stored.ctid FROM {self._table.fullname} AS stored\n"
            f"            WHERE {found} OFFSET 0\n"
            f"        ) AS found\n"
            f"    ))"
        )

    def arrays(self, entities: Iterable[Entity]) -> list[Sequence[Any]]:
        """Return the parameters of `unnest`: an array for each column."""
        rows: list[Any] = list(entities)
        if not self._are_rows:
            rows = [self._values(entity) for entity in rows]
        return list(zip(*rows, strict=True)) if rows else [()] * len(self)


def first_parameters(*groups: Columns[Any]) -> list[int]:
    """Return the number of the first parameter of each group in one statement."""
    firsts = [1]
    for group in groups[:-1]:
        firsts.append(firsts[-1] + len(group))
    return firsts


def _field_names(entity: type[Any]) -> tuple[str, ...]:
    if issubclass(entity, tuple):  # a NamedTuple
        names: tuple[str, ...] = entity._fields  # type: ignore[attr-defined]  # NamedTuple has no static type
        return names
    return tuple(field.name for field in fields(entity))
