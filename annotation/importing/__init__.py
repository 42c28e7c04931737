"""From a file somebody uploads to prompts and traces in the database: read, recognised, prepared, landed."""
