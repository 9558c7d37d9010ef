"""One module per raw dataset layout."""
