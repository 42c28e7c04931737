"""Views of labeling and datasets, a module a page area."""
