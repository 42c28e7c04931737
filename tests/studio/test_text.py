"""Text from people and models: a corpus that must not run beside one that must still render."""

import re
from datetime import timedelta

import pytest
from django.template import Context, Template
from django.utils import timezone

from annotation.templatetags.text import ago, markdown

MUST_NOT_RUN = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)><animate onbegin=alert(1) attributeName=x></svg>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<a href='javascript:alert(1)'>x</a>",
    "<details open ontoggle=alert(1)>",
    "<style>*{background:url(//evil)}</style>",
    "<math><mi xlink:href='javascript:alert(1)'>x</mi></math>",
    "<form action=//evil><button>x</button></form>",
    "<base href=//evil/>",
    "<meta http-equiv=refresh content='0;url=//evil'>",
    "</div></article><script>alert(1)</script>",
    "<!--><script>alert(1)</script>-->",
    "<scr<script>ipt>alert(1)</script>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](&#106;avascript:alert(1))",
    "[x](java\tscript:alert(1))",
    "[x](vbscript:alert(1))",
    "[x](data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==)",
    "[x](data:image/svg+xml,<svg onload=alert(1)>)",
    "<javascript:alert(1)>",
    "[x]: javascript:alert(1)\n\n[x]",
    '[x](https://ok.example "\\" onmouseover=alert(1) x=\\"")',
    '[x](https://ok.example" onmouseover="alert(1))',
    "![x](https://tracker.example/pixel.png)",
    "![x](javascript:alert(1))",
    "![x](data:image/png;base64,AAAA)",
    '![" onerror="alert(1)](x)',
    "$<img src=x onerror=alert(1)>$",
    "$$\n</span><script>alert(1)</script>\n$$",
    "\\(<svg onload=alert(1)>\\)",
    "\\[\n<script>alert(1)</script>\n\\]",
    "`<script>alert(1)</script>`",
    "```html\n<script>alert(1)</script>\n```",
    '```"><script>alert(1)</script>\nx\n```',
    "```python onload=alert(1)\nx\n```",
    "    <script>alert(1)</script>",
    "| <script>alert(1)</script> |\n|---|\n| <img src=x onerror=alert(1)> |",
    "# <script>alert(1)</script>",
    "> <script>alert(1)</script>",
    "- <script>alert(1)</script>",
    "**<script>alert(1)</script>**",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "\x00<script>alert(1)</script>",
    "<scrıpt>alert(1)</scrıpt>",
]

TAG = re.compile(r"<\s*/?\s*([a-z0-9]+)([^>]*)>", re.IGNORECASE)
BLOCKS = {"p", "pre", "ul", "ol", "li", "blockquote", "table", "thead", "tbody", "tr", "th", "td", "br", "hr"}
KNOWN = BLOCKS | {"a", "em", "strong", "code", "span", "s"} | {f"h{level}" for level in range(1, 7)}
ATTRIBUTES = {"href", "title", "rel", "class", "dir", "align", "start"}


@pytest.mark.parametrize("text", MUST_NOT_RUN)
def test_nothing_imported_ever_runs(text):
    for name, rest in TAG.findall(markdown(text)):
        assert name.lower() in KNOWN, name
        assert set(re.findall(r"([\w:-]+)\s*=\s*\"", rest)) <= ATTRIBUTES
        for address in re.findall(r'href="([^"]*)"', rest):
            assert re.match(r"(https?:|mailto:|[^:]*$)", address), address


@pytest.mark.parametrize("text", MUST_NOT_RUN)
def test_hostile_text_in_plain_template_fields_is_text(text):
    html = Template("<p title='{{ text }}'>{{ text }}</p>").render(Context({"text": text}))
    assert not [name for name, _ in TAG.findall(html) if name != "p"]


MUST_RENDER = {
    "**bold** and *italic*": "<strong>bold</strong> and <em>italic</em>",
    "a < b && c > d": "a &lt; b &amp;&amp; c &gt; d",
    "<think>Let me see.</think>": "&lt;think&gt;Let me see.&lt;/think&gt;",
    "Use <div> for boxes": "Use &lt;div&gt; for boxes",
    "[doc](https://a.org/?b=1&c=2)": '<a href="https://a.org/?b=1&amp;c=2" rel="noopener noreferrer nofollow">doc</a>',
    "<https://example.org>": '<a href="https://example.org"',
    "[mail](mailto:a@example.org)": '<a href="mailto:a@example.org"',
    "![a graph](https://example.org/g.png)": 'rel="noopener noreferrer nofollow">a graph</a>',
    "`x < y`": "<code>x &lt; y</code>",
    "```\n$5 \\(x\\)\n```": "<pre><code>$5 \\(x\\)\n</code></pre>",
    "```python\ndef f(): ...\n```": '<span class="k">def</span>',
    "```nolanguage\nx\n```": '<code class="language-nolanguage">x\n</code>',
    "| a | b |\n|:-|-:|\n| 1 | 2 |": '<td align="right">2</td>',
    "1. one\n   - two\n     - three": "<li>three</li>",
    "3. three": '<ol start="3"',
    "> quoted": "<blockquote",
    "~~gone~~": "<s>gone</s>",
    "one\ntwo": "one<br>",
    "# Title": ">Title</h2>",
    "###### Fine print": ">Fine print</h6>",
    "$a_1 * b_2 * c$": ">a_1 * b_2 * c</span>",
    "\\(x_1 * y_2 * z\\)": ">x_1 * y_2 * z</span>",
    "\\[ \\left[ a_{[1]} \\right] \\\\[2pt] b \\]": ">\\left[ a_{[1]} \\right] \\\\[2pt] b</span>",
    "\\[\nx\n= 5\n- 3\n\\].": ">x\n= 5\n- 3\n.</span>",
    "$$\n\\frac{1}{2}\n$$": '<span class="math display" dir="ltr">\\frac{1}{2}</span>',
    "so \\[ a \\] holds": 'so <span class="math display" dir="ltr">a</span> holds',
    "- \\(a\\)\n- $b$": '<li><span class="math" dir="ltr">a</span></li>',
    "$5 and $6": "$5 and $6",
    "from $5 to 10$ or more": "from $5 to 10$ or more",
    "It is $5. Let $x$ be it": 'It is $5. Let <span class="math" dir="ltr">x</span> be it',
    "US$1,000 and US$2,000": "US$1,000 and US$2,000",
    "I have $ and you have $": "I have $ and you have $",
    "\\$5 \\* 2": "$5 * 2",
    "`\\(not math\\)` and `$nor this$`": "<code>\\(not math\\)</code> and <code>$nor this$</code>",
    "an open \\( and no end": "an open ( and no end",
    "سلام دنیا": '<p dir="auto">سلام دنیا</p>',
    "- واحد\n- اثنان": '<ul dir="auto">',
    "日本語 **太字**": "<strong>太字</strong>",
    "emoji 👩‍🔬 stays": "👩‍🔬",
    "&amp; &copy;": "&amp; ©",
    "line one  \nline two": "<br>",
    "***": "<hr>",
}


@pytest.mark.parametrize("text", MUST_RENDER)
def test_what_people_and_models_write_still_renders(text):
    assert MUST_RENDER[text] in markdown(text)


@pytest.mark.parametrize("text", [None, "", " ", "\n\n"])
def test_nothing_renders_as_nothing(text):
    assert markdown(text).strip() == ""


@pytest.mark.parametrize("unit", ["\\(", "\\[\n", "$ ", "[", "*a_", "`", "> ", "$$a ", "<a ", "- " * 30 + "\n"])
def test_hostile_repetition_costs_no_more_than_its_length(unit):
    """Sixteen times the text in well under sixteen times sixteen the time."""
    from time import process_time

    def cost(times: int) -> float:
        start = process_time()
        markdown(unit * times)
        return process_time() - start

    cost(50)
    assert cost(8000) < 100 * max(cost(500), 0.01)


def test_a_relative_date_has_the_full_one_on_hover():
    moment = timezone.now() - timedelta(hours=3)
    html = ago(moment)
    assert ">3 h ago</time>" in html and f'title="{moment:%Y-%m-%d %H:%M:%S} UTC"' in html
    assert ago(None) == "never"


def test_the_module_holds_its_own_examples():
    import doctest

    from annotation import agreement, latex
    from annotation.templatetags import text
    from studio import home

    for module in (text, latex, agreement, home):
        assert doctest.testmod(module).failed == 0
