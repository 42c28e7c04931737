"""From labels to a dataset that never changes: rows of each shape, their files, what a report says of them."""
