"""Labels of steps without people: Monte-Carlo estimates, verifiers, models, consensus; each source is kept apart."""
