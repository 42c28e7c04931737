"""How text from people and models reaches a page: Markdown made safe, chats as turns, numbers with units."""

from datetime import datetime
from functools import cache

import nh3
from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

from annotation.latex import latex_plugin

register = template.Library()

TAGS = nh3.ALLOWED_TAGS - {"img", "map", "area"}
ATTRIBUTES = {
    "a": {"href", "title"},
    "code": {"class"},
    "pre": {"class"},
    "span": {"class", "dir"},
    "th": {"align"},
    "td": {"align"},
    "ol": {"start", "dir"},
    **{tag: {"dir"} for tag in ("p", "ul", "blockquote", "table", "h1", "h2", "h3", "h4", "h5", "h6")},
}
LONGEST_COLORED = 50_000  # characters of code; longer ones stay plain


def colored(code: str, language: str, _attrs: str) -> str:
    """Highlighted code for a fence; '' leaves it to Markdown's own plain block."""
    if len(code) > LONGEST_COLORED:
        return ""
    try:
        lexer = get_lexer_by_name(language)
    except ClassNotFound:
        return ""
    return f'<pre class="code"><code>{highlight(code, lexer, HtmlFormatter(nowrap=True))}</code></pre>'


@cache
def parser() -> MarkdownIt:
    """One CommonMark parser with tables, strike-through and math; raw HTML stays text, images become links."""
    options = {"html": False, "linkify": False, "breaks": True, "highlight": colored}
    markdown = MarkdownIt("commonmark", options).enable(["table", "strikethrough"]).use(latex_plugin)
    markdown.core.ruler.push("attributes", set_attributes)
    markdown.add_render_rule("image", image_link)
    return markdown


@cache
def cleaner() -> nh3.Cleaner:
    """One sanitiser: to make it takes longer than to clean a paragraph."""
    return nh3.Cleaner(tags=TAGS, attributes=ATTRIBUTES, link_rel="noopener noreferrer nofollow")


def set_attributes(state: StateCore) -> None:
    """Every block finds its own direction; a cell's alignment is an attribute, since inline styles are refused.

    Headings stand one level lower: the page's own title is its only h1.
    """
    for token in state.tokens:
        if token.type.startswith("heading"):
            token.tag = f"h{min(int(token.tag[1]) + 1, 6)}"
        if token.nesting == 1 and token.level == 0:
            token.attrSet("dir", "auto")
        if style := token.attrGet("style"):
            token.attrs = {"align": str(style).removeprefix("text-align:")}


def image_link(_renderer, tokens, index: int, options, env) -> str:
    """An image would call out to a stranger's server the moment a page opens; a link waits to be clicked."""
    token = tokens[index]
    return format_html('<a href="{}">{}</a>', token.attrGet("src") or "", token.content or "image")


@register.filter
def markdown(text: str | None) -> SafeString:
    """Markdown as safe HTML: no raw HTML, no images, links open without a referrer."""
    clean = cleaner().clean(parser().render(text or ""))
    return mark_safe(clean)  # noqa: S308 - nh3 just cleaned it


@register.filter
def ago(moment: datetime | None) -> SafeString | str:
    """A relative date with the full one on hover."""
    if not moment:
        return "never"
    seconds = (timezone.now() - moment).total_seconds()
    text = relative(seconds)
    return format_html(
        '<time datetime="{}" title="{}">{}</time>', moment.isoformat(), f"{moment:%Y-%m-%d %H:%M:%S %Z}", text
    )


def relative(seconds: float) -> str:
    """
    >>> relative(5), relative(70), relative(7300), relative(90000), relative(-60)
    ('just now', '1 min ago', '2 h ago', 'yesterday', 'just now')
    """
    if seconds < 45:
        return "just now"
    if seconds < 3600:
        return f"{max(1, round(seconds / 60))} min ago"
    if seconds < 86400:
        return f"{round(seconds / 3600)} h ago"
    days = round(seconds / 86400)
    return "yesterday" if days == 1 else f"{days} days ago"


@register.filter
def duration(seconds: float | None) -> str:
    """
    >>> duration(None), duration(4.2), duration(75), duration(3700), duration(200000)
    ('–', '4 s', '1 min 15 s', '1 h 1 min', '2 d 7 h')
    """
    if seconds in (None, ""):  # a missing key of a dictionary is "" in a template
        return "–"
    left = int(round(seconds))
    for size, unit, smaller, small in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if left >= size:
            rest = left % size // smaller
            return f"{left // size} {unit}" + (f" {rest} {small}" if rest else "")
    return f"{left} s"


@register.filter
def size(count: float | None) -> str:
    """
    >>> size(None), size(900), size(98_000_000), size(2_147_483_648)
    ('–', '900 B', '98 MB', '2.1 GB')
    """
    if count in (None, ""):
        return "–"
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            break
        count, unit = count / 1000, {"B": "kB", "kB": "MB", "MB": "GB", "GB": "TB"}[unit]
    return f"{count:.1f} {unit}" if count < 10 and unit not in ("B", "kB") else f"{count:.0f} {unit}"


@register.filter
def number(value: float | None, digits: int = 3) -> str:
    """
    >>> number(None), number(0.69314), number(12345), number(5e-07), number(2199404761.9), number(True)
    ('–', '0.693', '12,345', '5e-07', '2,199,404,762', 'True')
    """
    if value is None or value == "":
        return "–"
    if isinstance(value, (bool, str)):
        return str(value)
    if isinstance(value, int) or abs(value) >= 10_000:
        return f"{value:,.0f}"
    return f"{value:.{digits}g}" if 0 < abs(value) < 1e-3 else f"{value:.{digits}f}"


@register.filter
def percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.0f} %"


@register.filter
def share_of(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
