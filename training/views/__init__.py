"""Views of training, models and comparison, a module a page area."""
