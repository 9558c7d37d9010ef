"""What the conversion stages share: pieces, the work store, workers."""
