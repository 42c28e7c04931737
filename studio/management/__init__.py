"""The verbs of the `studio` command, a file a verb."""
