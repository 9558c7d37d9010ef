"""From shards to the batches of a training or prediction."""
