"""People, rooms and cameras that no demo split has, one crop at a time: what the demo's networks start from."""
