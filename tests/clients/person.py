"""A person with a browser that has no JavaScript, and a bare HTTP agent. Standard library only."""

import http.client
import os
import re
import sys
from html import unescape
from html.parser import HTMLParser
from urllib.parse import urlencode, urljoin, urlsplit


class Answer:
    """What came back: status, headers (lower-case names; `set-cookie` as a list in `cookies`), text, and the URL asked."""

    def __init__(self, url, response):
        self.url = url
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.cookies = response.headers.get_all("set-cookie") or []
        self.text = response.read().decode("utf-8", "replace")


class Agent:
    """One keep-alive connection to one server. Any error of the connection is an `OSError` or `http.client.HTTPException`."""

    def __init__(self, base, timeout=30):
        parts = urlsplit(base)
        self.host, self.port, self.timeout = parts.hostname, parts.port or 80, timeout
        self.connection = None

    def request(self, method, url, body=None, headers=None):
        parts = urlsplit(url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        headers = dict(headers or {})
        if isinstance(body, dict):
            body = urlencode(body)
            headers["content-type"] = "application/x-www-form-urlencoded"
        if self.connection is None:
            self.connection = http.client.HTTPConnection(self.host, self.port, timeout=self.timeout)
        try:
            self.connection.request(method, target, body, headers)
            return Answer(url, self.connection.getresponse())
        except (OSError, http.client.HTTPException):
            self.close()
            raise

    def close(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None


class _Forms(HTMLParser):
    def __init__(self):
        super().__init__()
        self.forms = []

    def handle_starttag(self, tag, attrs):
        attrs = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append({"action": attrs.get("action", ""), "fields": [], "buttons": {}, "open": True})
        elif tag in ("input", "button") and self.forms and self.forms[-1]["open"]:
            kind = attrs.get("type", "submit" if tag == "button" else "text")
            if kind == "submit":
                self.forms[-1]["buttons"][attrs.get("id", "")] = attrs
            elif tag == "input" and attrs.get("name") and (kind not in ("checkbox", "radio") or "checked" in attrs):
                self.forms[-1]["fields"].append((attrs["name"], attrs.get("value", "")))

    def handle_endtag(self, tag):
        if tag == "form" and self.forms:
            self.forms[-1]["open"] = False


def forms(html):
    parser = _Forms()
    parser.feed(html)
    return parser.forms


def words(html):
    """A page as words, for messages."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())[:600]


def same(url, until):
    """Same address, whatever the query and the fragment."""
    return urlsplit(url)[:3] == urlsplit(until)[:3]


class Person:
    """Follows redirects, keeps cookies, fills in forms, presses buttons."""

    BUTTONS = ("sign-in-submit", "consent-allow", "sign-out-confirm")

    def __init__(self, base, username, password):
        self.agent = Agent(base)
        self.username, self.password = username, password
        self.cookies = {}

    def request(self, method, url, body=None, referer=None):
        headers = {"accept": "text/html", "accept-language": "en", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
        if self.cookies:
            headers["cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        if referer:
            headers["referer"] = referer
        if body is not None:
            origin = urlsplit(referer or url)
            headers["origin"] = f"{origin.scheme}://{origin.netloc}"
            headers["sec-fetch-site"] = "same-origin"
        answer = self.agent.request(method, url, body, headers)
        for line in answer.cookies:
            name, _, rest = line.partition("=")
            value, _, attributes = rest.partition(";")
            if re.search(r"max-age\s*=\s*(0|-\d+)\s*(;|$)", attributes, re.I):
                self.cookies.pop(name.strip(), None)
            else:
                self.cookies[name.strip()] = value.strip()
        return answer

    def walk(self, start, until, button="consent-allow"):
        """Goes from `start` until a redirect leads to `until`; gives that URL."""
        step, seen = self.request("GET", start), [f"GET {urlsplit(start).path}"]
        for _ in range(15):
            seen.append(str(step.status))
            if step.status in (301, 302, 303, 307, 308):
                target = urljoin(step.url, step.headers["location"])
                if same(target, until):
                    return target
                seen.append(f"GET {urlsplit(target).path}")
                step = self.request("GET", target, referer=step.url)
                continue
            wanted = [name for name in self.BUTTONS if name != "consent-allow"] + [button]
            found = [(form, name) for form in forms(step.text) for name in form["buttons"] if name in wanted]
            if not found:
                raise AssertionError(f"no form to go on with after {' → '.join(seen)}: {words(step.text)}")
            form, name = found[0]
            if name == "sign-in-submit" and name in seen:
                raise AssertionError(f"the sign-in page came back: {words(step.text)}")
            typed = {"username": self.username, "password": self.password}
            fields = [(field, typed.get(field, value)) for field, value in form["fields"]]
            pressed = form["buttons"][name]
            if pressed.get("name"):
                fields.append((pressed["name"], pressed.get("value", "")))
            seen.append(name)
            action = urljoin(step.url, pressed.get("formaction") or form["action"] or step.url)
            step = self.request("POST", action, dict(fields), referer=step.url)
        raise AssertionError(f"did not reach {until}: {' → '.join(seen)}")


def told(*names):
    """What the tests are told, or a clear message about what is missing."""
    missing = [name for name in names if not os.environ.get(f"CNX_TEST_{name}")]
    if missing:
        sys.exit(f"CNX_TEST_{missing[0]} is not set")
    return [os.environ[f"CNX_TEST_{name}"] for name in names]


def check(condition, what, seen=None):
    if not condition:
        raise AssertionError(what if seen is None else f"{what}; seen: {seen!r}")
