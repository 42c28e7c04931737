"""Find blocks between fences and texts between tags in one pass: what a model repeats must not slow its judge."""

FENCES = ("```", "~~~")


def blocks(text: str) -> list[tuple[str, str]]:
    """Every closed block of a Markdown text, as (language, body).

    >>> blocks("x\\n```python\\na = 1\\n```\\n~~~\\nb\\n~~~\\n```\\nopen")
    [('python', 'a = 1\\n'), ('', 'b\\n')]
    """
    found, fence, language, body = [], "", "", []
    for line in text.splitlines(keepends=True):
        bare = line.strip()
        if not fence and bare[:3] in FENCES:
            fence, body = bare[:3], []
            language = (bare.lstrip(fence[0]).split() or [""])[0].lower()
        elif fence and bare[:3] == fence and not bare.strip(fence[0]):
            found.append((language, "".join(body)))
            fence = ""
        elif fence:
            body.append(line)
    return found


def between(text: str, tag: str) -> str | None:
    """What stands in the last pair of these tags; None where no pair is closed.

    >>> between("<answer>1</answer> <answer>2</answer>", "answer"), between("<answer>1", "answer")
    ('2', None)
    """
    low = text.lower()
    end = low.rfind(f"</{tag}>")
    start = low.rfind(f"<{tag}>", 0, max(end, 0))
    return text[start + len(tag) + 2 : end] if end >= 0 <= start else None
