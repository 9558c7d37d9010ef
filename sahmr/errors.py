"""The errors a user can cause, each saying what was found, where, what is allowed and what to do."""


class SahmrError(Exception):
    """Base of every error caused by the input and not by our own code."""


class RawDataError(SahmrError):
    """A raw file is missing, misplaced, damaged or contradicts another one."""


class BodyModelError(RawDataError):
    """A body-model file or a table that belongs to it is missing or not what it claims to be."""


class ShardError(SahmrError):
    """A shard or its index is missing, damaged or of another version."""


class StoreError(SahmrError):
    """A scene or work store is missing, damaged, of another version, or cannot be written."""


class RemoteError(SahmrError):
    """A published dataset cannot be reached, or is not what its manifest says.

    Attributes:
        may_pass: whether another try, somewhat later, may help.
    """

    may_pass = False


class ContentError(RemoteError):
    """A server sent other bytes than it should: ``found``."""

    def __init__(self, message: str, found: bytes) -> None:
        super().__init__(message, found)
        self.found = found

    def __str__(self) -> str:
        return str(self.args[0])


class ClusterError(SahmrError):
    """Workers or their scheduler are lost, or not set up like the stage they work for."""


class QuarantineError(SahmrError):
    """More raw files were damaged than ``max_quarantined`` allows."""


class SettingsError(SahmrError):
    """``params.yaml`` has an unknown, missing or impossible value."""


class CheckpointError(SahmrError):
    """A checkpoint does not fit the network it is meant for."""


class ExportError(SahmrError):
    """Predictions cannot be exported as asked: unknown names, or an output that is in the way."""
