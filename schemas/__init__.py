"""On-disk record types and their Arrow schemas; no torch in here."""
