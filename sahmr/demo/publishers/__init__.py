"""The demo in the layouts and containers of RICH and PROX."""
