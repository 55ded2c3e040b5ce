"""Pages as a browser without JavaScript sees them: text, links, and forms with their values."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

import httpx

VOID = {"input", "br", "meta", "link", "img", "hr"}


@dataclass
class Form:
    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)
    buttons: list[tuple[str, str, str]] = field(default_factory=list)  # name, value, label

    async def send(self, client: httpx.AsyncClient, **changes: str) -> httpx.Response:
        """Submits the form as a browser does: its values, overridden by `changes`."""
        values = self.fields | changes
        if self.method == "get":
            path, _, _ = self.action.partition("#")
            return await client.get(path, params=values)
        headers = {"sec-fetch-site": "same-origin"}
        return await client.post(self.action, data=values, headers=headers)


class Page(HTMLParser):
    """The visible `text`, the `forms` and the `links` of a page."""

    def __init__(self, response: httpx.Response) -> None:
        super().__init__()
        self.status = response.status_code
        self.forms: list[Form] = []
        self.links: dict[str, str] = {}
        self.times: list[str] = []
        self.text = ""
        self._open: list[tuple[str, dict[str, Any]]] = []
        self._element_text = ""
        self.feed(response.text)

    def form(self, action: str) -> Form:
        """The form whose action contains this."""
        return next(form for form in self.forms if action in form.action)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append(Form(attributes.get("action", ""), attributes.get("method", "get")))
        if tag == "input" and self.forms and self._inside("form"):
            is_set = attributes.get("type") not in {"radio", "checkbox"} or "checked" in attributes
            if is_set and "disabled" not in attributes and attributes.get("name"):
                self.forms[-1].fields[attributes["name"]] = attributes.get("value", "")
        if tag not in VOID:
            self._open.append((tag, attributes))
            if tag in {"a", "button", "textarea"}:
                self._element_text = ""

    def handle_endtag(self, tag: str) -> None:
        while self._open:
            name, attributes = self._open.pop()
            if name == tag:
                break
        else:
            return
        if tag == "a" and "href" in attributes:
            self.links[" ".join(self._element_text.split())] = attributes["href"]
        if tag == "textarea":
            self.forms[-1].fields[attributes["name"]] = self._element_text.removeprefix("\n")
        if (
            tag == "button"
            and "time" in attributes.get("class", "").split()
            and attributes.get("type", "submit") == "submit"
        ):
            self.times.append(attributes["value"])

    def handle_data(self, data: str) -> None:
        self._element_text += data
        if not self._inside("script"):
            self.text = f"{self.text} {' '.join(data.split())}".strip()

    def _inside(self, tag: str) -> bool:
        return any(name == tag for name, _ in self._open)
