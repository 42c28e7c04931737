"""Serve the studio's models over HTTP: OpenAI-compatible chat, and scores from reward models.

Built here and not on `transformers serve`: that answers one request at a time on a CPU, cannot list local folders while
offline, loads whatever id it is asked for, and has no scoring route, no queue bound and no memory budget. What it does
well is kept from the library itself (models, tokenizers, chat templates, key/value cache); any other OpenAI-compatible
endpoint, vLLM among them, can stand in this one's place by its URL.
"""
