"""What the catalog's commands refuse, each with the exit code that scripts can rely on."""

from __future__ import annotations

from sahmr.errors import SahmrError

DIFFERS, UNKNOWN, DAMAGED, BAD_SQL, FORBIDDEN = 1, 3, 4, 5, 6  # 2, wrong usage, is typer's own


class CatalogError(SahmrError):
    """Base of the errors below.

    Attributes:
        code: exit status of the command.
    """

    code = DAMAGED


class UnknownError(CatalogError):
    """A key, dataset, revision or remote that does not exist."""

    code = UNKNOWN


class MissingError(CatalogError):
    """A file that a command needs is missing, damaged or of another version, or a remote refuses."""

    code = DAMAGED


class QueryError(CatalogError):
    """SQL that fails or is not a query."""

    code = BAD_SQL


class LicenceError(CatalogError):
    """Data that may not go where it was to go."""

    code = FORBIDDEN
