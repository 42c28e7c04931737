r"""Math in Markdown: \( \), \[ \], $ and $$ as elements KaTeX draws; prices stay prices, code stays code."""

import re
from html import escape

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline
from mdit_py_plugins.dollarmath import dollarmath_plugin
from mdit_py_plugins.dollarmath.index import math_inline_dollar
from mdit_py_plugins.utils import is_code_block

CLOSERS = {r"\(": r"\)", r"\[": r"\]"}
LONGEST = 4000  # characters between the signs: a lone opener costs little to look past

dollars = math_inline_dollar(allow_space=True, allow_digits=False, allow_double=True)


def latex_plugin(markdown: MarkdownIt) -> None:
    """Teach the parser math; without KaTeX's script the source stays readable."""
    markdown.use(dollarmath_plugin, allow_labels=False, double_inline=True)
    markdown.inline.ruler.at("math_inline", dollars_inline)
    markdown.inline.ruler.before("escape", "brackets_inline", brackets_inline)
    stops = {"alt": ["paragraph", "reference", "blockquote", "list"]}
    markdown.block.ruler.before("fence", "brackets_block", brackets_block, stops)
    markdown.add_render_rule("math_inline", lambda _, tokens, i, *rest: drawn("span", "math", tokens[i]))
    for name in ("math_inline_double", "math_block"):
        markdown.add_render_rule(name, lambda _, tokens, i, *rest: drawn("span", "math display", tokens[i]))


def drawn(tag: str, kind: str, token) -> str:
    return f'<{tag} class="{kind}" dir="ltr">{escape(token.content.strip())}</{tag}>'


def prose(content: str) -> bool:
    """What stands between two prices or two stray dollars, rather than math.

    >>> prose("5 and 10"), prose("5. Let "), prose(" is not a price, but "), prose("2 x"), prose("n choose k")
    (True, True, True, False, False)
    >>> prose(r"5 \\text{ and } 6"), prose("a_i = 3 apples each")
    (False, False)
    """
    if re.search(r"[\\^_={}<>|+*]", content):
        return False
    words = len(re.findall(r"[^\W\d_]{2,}", content))
    return words > 1 or (words == 1 and content.lstrip()[:1].isdigit())


def dollars_inline(state: StateInline, silent: bool) -> bool:
    start = state.pos
    if not dollars(state, True):
        return False
    content, end = state.src[start : state.pos].strip("$"), state.pos
    state.pos = start
    if prose(content):
        return False
    if silent:
        state.pos = end
        return True
    return dollars(state, False)


def brackets_inline(state: StateInline, silent: bool) -> bool:
    start = state.pos
    opener = state.src[start : start + 2]
    if opener not in CLOSERS:
        return False
    end = state.src.find(CLOSERS[opener], start + 2, min(state.posMax, start + LONGEST))
    if not state.src[start + 2 : max(end, 0)].strip():
        return False
    if not silent:
        token = state.push("math_inline" if opener == r"\(" else "math_inline_double", "math", 0)
        token.content = state.src[start + 2 : end]
    state.pos = end + 2
    return True


def brackets_block(state: StateBlock, first: int, end: int, silent: bool) -> bool:
    r"""\[ … \] on lines of its own; inside it `=` is no heading and `-` no list."""
    begin = state.bMarks[first] + state.tShift[first]
    if is_code_block(state, first) or not state.src.startswith(r"\[", begin):
        return False
    close = state.src.find(r"\]", begin + 2, min(state.eMarks[end - 1], begin + LONGEST))
    if close < 0:
        return False
    last = next(number for number in range(first, end) if close < state.eMarks[number])
    content, _, after = state.getLines(first, last + 1, state.blkIndent, False).strip()[2:].partition(r"\]")
    if not content.strip() or after.strip() not in ("", ".", ",", ";"):
        return False
    if not silent:
        token = state.push("math_block", "math", 0)
        token.block, token.map, token.content = True, [first, last + 1], content + after.strip()
        state.line = last + 1
    return True
