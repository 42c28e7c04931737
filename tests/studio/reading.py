"""Read a page as a browser reads it: its forms with what they would send, and anything in it that could run."""

from html.parser import HTMLParser

RAN = "document.title=`ran`"
BAD_TAGS = {"script", "svg", "img", "iframe", "object", "embed", "base"}


class Page(HTMLParser):
    """What a browser would make of a page: its forms, and anything in it that could run."""

    def __init__(self, html: str):
        super().__init__(convert_charrefs=True)
        self.forms, self.form, self.live = [], None, []
        self.area, self.select, self.several, self.option = None, None, False, False
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        said = dict(attributes)
        self.judge(tag, said)
        if tag == "option" and self.form is not None and self.select:
            self.choose(said)
        if tag == "form":
            self.form = {"action": said.get("action", ""), "method": said.get("method", "get"), "data": {}, "texts": []}
            self.forms.append(self.form)
        if self.form is None or not said.get("name"):
            return
        name, data, kind = said["name"], self.form["data"], said.get("type", "text")
        if tag == "textarea":
            self.area, data[name] = name, ""
            self.form["texts"].append(name)
        elif tag == "select":
            self.select, self.several = name, "multiple" in said
        elif tag == "input" and kind in ("radio", "checkbox"):
            if "checked" in said:
                data[name] = said.get("value", "on")
        elif tag == "input" and kind != "file":
            data[name] = said.get("value", "")
            if kind != "hidden":
                self.form["texts"].append(name)
        elif tag == "button":
            data.setdefault(name, said.get("value", ""))

    def choose(self, option):
        """The selected option, else the first; of a list of several, all that are selected."""
        data = self.form["data"]
        if "selected" in option or not (self.several or self.select in data):
            data[self.select] = [*data.get(self.select, []), ""] if self.several else ""
            self.option = True
            if "value" in option:
                self.handle_data(option["value"])
                self.option = False

    def handle_data(self, text):
        if self.area:
            self.form["data"][self.area] += text
        elif self.option and self.several:
            self.form["data"][self.select][-1] += text
        elif self.option:
            self.form["data"][self.select] += text

    def handle_endtag(self, tag):
        if tag == "textarea":
            self.area = None
        if tag == "option":
            self.option = False
        if tag == "select":
            self.select = None
        if tag == "form":
            self.form = None

    def judge(self, tag, said):
        """Whatever the studio's own pages never hold."""
        inert = said.get("src", "").startswith("/static/") or said.get("type") == "application/json"
        own = {"script": inert, "svg": RAN not in str(said | {"aria-label": ""})}
        if tag in BAD_TAGS and not own.get(tag):
            self.live.append((tag, said))
        for name, value in said.items():
            handler = name.startswith("on") or (name in ("href", "src", "action") and "javascript:" in (value or ""))
            if handler or name == "style":
                self.live.append((tag, name, value))


def is_page(response) -> bool:
    return response.headers.get("Content-Type", "").startswith("text/html")


def body(response) -> str:
    if response.streaming:
        return ""
    return response.content.decode()


def fields(client, address: str) -> dict:
    """What the page's form sends when nothing is touched."""
    return next(form["data"] for form in Page(body(client.get(address))).forms if form["method"] == "post")
