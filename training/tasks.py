"""What workers do for training: an id in, one call out."""
