"""Read a response as a person reads the page: line breaks and indents are one space."""

import re


def text(response) -> str:
    return re.sub(r"\s+", " ", response.content.decode())
