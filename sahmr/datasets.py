"""What every shard and store made from licensed data says of itself."""

LICENCE_NOTICE = {
    "rich": "derived from RICH; research use only, redistribution forbidden by the RICH licence",
    "prox": "derived from PROX; research use only, redistribution forbidden by the PROX licence",
}
