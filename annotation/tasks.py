"""What workers do for annotation: an id in, one call out."""
