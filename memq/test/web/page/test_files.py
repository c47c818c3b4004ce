"""The page's files are served as they are, kept by browsers, and plain."""

from __future__ import annotations

import os
import re

from twisted.trial.unittest import SynchronousTestCase

from memq.test.web.base import WebTestCase
from memq.web.page.files import STATIC, readFiles, takesGzip

#: Lines of a file, at most.
LINES = 400
#: What makes HTML or code of text.
_UNSAFE = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|"
    r"DOMParser|createContextualFragment|srcdoc|javascript:"
)


def texts() -> dict[str, str]:
    """Return the files of the page, by their names."""
    return {name: file.data.decode() for name, file in readFiles().items()}


class ServingTests(WebTestCase):
    """How they are served."""

    def test_index(self) -> None:
        """The page is at the root, with a policy that lets no text become code."""
        reply = self.ask("/")
        self.assertEqual(reply.code, 200)
        self.assertEqual(reply.headers["Content-Type"], "text/html; charset=utf-8")
        policy = reply.headers["Content-Security-Policy"]
        self.assertIn("require-trusted-types-for 'script'", policy)
        self.assertTrue(reply.text.startswith("<!doctype html>"))

    def test_files(self) -> None:
        """Each file is there with its type, as it is or in gzip."""
        for name, file in readFiles().items():
            if name == "index.html":
                continue
            for lines in ([], ["Accept-Encoding: br, gzip"]):
                reply = self.ask(f"/page/{name}", "GET", *lines)
                self.assertEqual(reply.code, 200, name)
                self.assertEqual(reply.headers["Content-Type"].encode(), file.type)
                self.assertEqual(reply.headers["X-Content-Type-Options"], "nosniff")
                self.assertEqual(reply.headers["Vary"], "Accept-Encoding")
                self.assertEqual(reply.body, file.data)
                coding = reply.headers["Content-Encoding"]
                self.assertEqual(coding, "gzip" if lines else None)

    def test_kept(self) -> None:
        """A browser that has a file is told so, for each form by itself."""
        for lines in ([], ["Accept-Encoding: gzip"]):
            first = self.ask("/page/main.js", "GET", *lines)
            self.assertEqual(first.headers["Cache-Control"], "no-cache")
            tag = first.headers["ETag"]
            again = self.ask("/page/main.js", "GET", f"If-None-Match: {tag}", *lines)
            self.assertEqual((again.code, again.body), (304, b""))
            other = self.ask("/page/main.js", "GET", 'If-None-Match: "x"', *lines)
            self.assertEqual((other.code, other.body), (200, first.body))

    def test_head(self) -> None:
        """HEAD tells the same, without the bytes; another method is refused."""
        reply = self.ask("/", "HEAD")
        self.assertEqual((reply.code, reply.body), (200, b""))
        self.assertEqual(self.ask("/page/main.js", "POST").code, 405)

    def test_nothing(self) -> None:
        """Nothing else is there: no list, no other file, no way out."""
        for path in (
            "/page",
            "/page/",
            "/page/no.js",
            "/page/main.js/x",
            "/index.html",
        ):
            self.assertEqual(self.ask(path).code, 404, path)
        for path in ("/page/__init__.py", "/page/../files.py", "/page/%2e%2e/files.py"):
            self.assertEqual(self.ask(path).code, 404, path)

    def test_otherHost(self) -> None:
        """Another host's name gets no page."""
        self.assertEqual(self.ask("/", "GET", "Host: evil.example").code, 421)


class GzipTests(SynchronousTestCase):
    """The header Accept-Encoding."""

    def test_taken(self) -> None:
        """Gzip is taken if it is named."""
        for header in (b"gzip", b"br, GZIP", b"gzip;q=0.5", b"gzip; q=1"):
            self.assertTrue(takesGzip(header), header)

    def test_refused(self) -> None:
        """It is not if it is not named, or refused."""
        for header in (b"", b"br", b"xgzip", b"gzip;q=0", b"br, gzip; q=0.00"):
            self.assertFalse(takesGzip(header), header)


class PlainTests(SynchronousTestCase):
    """What the files are like."""

    def test_complete(self) -> None:
        """Each file in the folder is served, and each that is named is there."""
        found = {name for name in os.listdir(STATIC) if not name.startswith("__")}
        served = texts()
        self.assertEqual(found, set(served))
        for name, text in served.items():
            named = re.findall(r'(?:from "\./|"/page/)([^"]+)"', text)
            self.assertEqual(set(named) - found, set(), name)
        everything = "\n".join(served.values())
        for name in found - {"index.html"}:
            self.assertRegex(everything, rf'(\./|/page/){re.escape(name)}"', name)

    def test_short(self) -> None:
        """A file is written by hand: it has lines that a person reads."""
        for name, text in texts().items():
            lines = text.splitlines()
            self.assertLessEqual(len(lines), LINES, name)
            self.assertLessEqual(max(map(len, lines)), 100, name)

    def test_safe(self) -> None:
        """Nothing makes HTML or code of text, and nothing stands within the page."""
        served = texts()
        for name, text in served.items():
            self.assertIsNone(_UNSAFE.search(text), name)
        index = served["index.html"]
        self.assertNotRegex(index, r"<style|\sstyle=|\son\w+=")
        self.assertEqual(re.findall(r"<script[^>]*>([^<]*)</script>", index), ["", ""])

    def test_alone(self) -> None:
        """No file names another host."""
        for name, text in texts().items():
            found = re.findall(r"https?://[^\s\"')]+", text)
            self.assertEqual(set(found) - {"http://www.w3.org/2000/svg"}, set(), name)
