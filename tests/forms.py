"""Pages as someone without scripts meets them: forms with what stands in them, and links."""

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
    buttons: list[tuple[str, str, str]] = field(default_factory=list)  # name, value, words

    async def send(self, client: httpx.AsyncClient, **typed: str) -> httpx.Response:
        """Sends the form as a browser would: what stands in it, and what was typed."""
        given = self.fields | typed
        if self.method == "get":
            path, _, _ = self.action.partition("#")
            return await client.get(path, params=given)
        headers = {"sec-fetch-site": "same-origin"}
        return await client.post(self.action, data=given, headers=headers)


class Page(HTMLParser):
    """`text` is what can be read, `forms` and `links` what can be done."""

    def __init__(self, response: httpx.Response) -> None:
        super().__init__()
        self.status = response.status_code
        self.forms: list[Form] = []
        self.links: dict[str, str] = {}
        self.times: list[str] = []
        self.text = ""
        self._open: list[tuple[str, dict[str, Any]]] = []
        self._words = ""
        self.feed(response.text)

    def form(self, action: str) -> Form:
        """The form that goes to an address like this."""
        return next(form for form in self.forms if action in form.action)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append(Form(given.get("action", ""), given.get("method", "get")))
        if tag == "input" and self.forms and self._inside("form"):
            chosen = given.get("type") not in {"radio", "checkbox"} or "checked" in given
            if chosen and "disabled" not in given and given.get("name"):
                self.forms[-1].fields[given["name"]] = given.get("value", "")
        if tag not in VOID:
            self._open.append((tag, given))
            if tag in {"a", "button", "textarea"}:
                self._words = ""

    def handle_endtag(self, tag: str) -> None:
        while self._open:
            name, given = self._open.pop()
            if name == tag:
                break
        else:
            return
        if tag == "a" and "href" in given:
            self.links[" ".join(self._words.split())] = given["href"]
        if tag == "textarea":
            self.forms[-1].fields[given["name"]] = self._words.removeprefix("\n")
        if tag == "button" and "time" in given.get("class", "").split() and given.get("type", "submit") == "submit":
            self.times.append(given["value"])

    def handle_data(self, data: str) -> None:
        self._words += data
        if not self._inside("script"):
            self.text = f"{self.text} {' '.join(data.split())}".strip()

    def _inside(self, tag: str) -> bool:
        return any(name == tag for name, _ in self._open)
