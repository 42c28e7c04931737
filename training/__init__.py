"""What machines make of it: jobs, models, serving, comparison."""
