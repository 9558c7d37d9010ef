"""Opening files of strangers without running anything from them."""
