"""People in photographs: their boxes, by a detector whose weights lie beside this file."""
