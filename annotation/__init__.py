"""What people say: projects, prompts, completions, rankings, and the datasets frozen from them."""
