"""What a prediction is worth: the truth it is compared with, the scores of a frame, their means."""
