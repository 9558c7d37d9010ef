"""People, rooms and cameras that no demo split has, photographed one crop at a time: what the demo's networks start from."""
