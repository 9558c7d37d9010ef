"""What the pipeline has made: entries, scan and report."""
