"""What a camera sees of a scan, and whether the two can belong together; before any prediction."""
