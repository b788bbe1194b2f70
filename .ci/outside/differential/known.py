"""Where others read otherwise, which section decides, and who is right."""

import dataclasses
import re

WE, THEY, OTHERWISE = "only we", "only they", "otherwise"


@dataclasses.dataclass
class Row:
    """`kind` is whose request it is alone; `said` begins the reason of the other, and `pattern` is found in what is read."""

    peer: str
    kind: str
    said: str
    section: str
    right: str
    why: str
    pattern: str = ""
    used: int = 0

    def fits(self, peer, kind, said, text):
        if peer not in self.peer.split() or kind != self.kind or not said.startswith(self.said):
            return False
        return not self.pattern or re.search(self.pattern.encode("latin-1"), text, re.S) is not None


HTTP = [
    # We refuse, others take.
    Row("h11", THEY, "400 Content-Length beside", "9112 6.1", "both", "a server may refuse it, and ought to close behind it"),
    Row("h11", THEY, "400 a header field's name", "9112 5.2", "both", "a folded line: 400, or blanks in its place", r"\n[ \t]"),
    Row("nginx", THEY, "400 a header field's name", "9112 5.1", "we", "a line without a colon, or with a wrong name, is left out"),
    Row("h11 llhttp nginx", THEY, "400 a line of the head", "9112 2.2", "both", "a bare LF may be taken for a line's end"),
    Row("nginx", THEY, "400 a chunk's size", "9112 7.1", "we", "a bare LF ends a chunk's size, or a blank follows CR", r"\n"),
    Row("h11 nginx", THEY, "400 a chunk's extension", "9112 7.1.1", "we", "a control character in an extension, or a bare LF behind it"),
    Row("h11 nginx", THEY, "400 a chunk does not end", "9112 7.1", "we", "a bare LF ends a chunk, a bare CR stands in an extension"),
    Row("h11 nginx", THEY, "400 the trailer", "9112 7.1.2", "we", "a trailer is field lines; nginx skips whatever there is"),
    Row("h11 llhttp nginx", THEY, "400 a header field's value is not UTF-8", "9110 5.5", "both", "obs-text is opaque, and may be refused"),
    Row("h11 nginx", THEY, "400 a header field's value is mal", "9110 5.5", "we", "a control character in a value"),
    Row("h11 llhttp nginx", THEY, "400 Host is malformed", "9112 3.2", "we", "an invalid Host has to be answered with 400"),
    Row("llhttp", THEY, "400 there is more than one Host", "9112 3.2", "we", "as has more than one"),
    Row("llhttp", THEY, "400 Host is missing", "9112 3.2", "both", "Node says 400 as well, and goes on with the connection"),
    Row("h11 llhttp nginx", THEY, "400 the request target", "9112 3.2", "we", "a target in none of the four forms, or with a fragment"),
    Row("llhttp nginx", THEY, "400 the request line", "9112 3", "we", "a request line without a version, or with odd bytes in its target"),
    Row("h11", THEY, "501 this server is no proxy", "9110 9.3.6", "both", "CONNECT is for proxies", "CONNECT"),
    Row("h11 llhttp nginx", THEY, "505 ", "9110 2.5", "both", "a minor version that is higher may be read as HTTP/1.1", r"HTTP/[12]\.\d"),
    Row("h11 llhttp nginx", THEY, "417 ", "9110 10.1.1", "both", "an unknown expectation may be refused", "(?i)expect:"),
    Row("llhttp", THEY, "501 chunked is the only", "9112 6.1", "both", "a coding that is not known should be answered with 501"),
    Row("llhttp", THEY, "400 Transfer-Encoding is empty", "9112 6.1", "we", "an empty list of codings frames nothing"),
    Row("h11 llhttp", THEY, "400 Transfer-Encoding in", "9112 6.1", "we", "its framing is faulty in HTTP/1.0, and the connection ends"),
    Row("nginx", THEY, "closed", "9110 7.6.1", "we", "options are tokens, not parts of words", "(?i)connection:[^\r\n]*keep-alive"),
    # We take, others refuse.
    Row("h11", WE, "closed", "9112 9.3", "both", "of HTTP/1.0 it keeps no connection open", "(?i)keep-alive"),
    Row("h11", WE, "no request line", "9112 2.2", "we", "empty lines before a request are ignored", r"^\r\n"),
    Row("h11", WE, "illegal chunk header", "9112 7.1.1", "we", "blanks may stand before the `;` of an extension", r"\n[0-9A-Fa-f]+[ \t]"),
    Row("llhttp", WE, "HPE_INVALID_CHUNK_SIZE", "9112 7.1.1", "we", "as above", r"\n[0-9A-Fa-f]+[ \t]"),
    Row("llhttp", WE, "HPE_STRICT", "9112 7.1.1", "both", "extensions are ignored, and what is in them is not looked at", r"\n[0-9A-Fa-f]+;"),
    Row("h11", WE, "bad Content-Length", "9110 6.5.1", "we", "a trailer's framing fields are ignored", r"\n0+[;\r]"),
    Row("llhttp", WE, "HPE_INVALID_CONTENT_LENGTH", "9110 8.6", "both", "a list of equal lengths may be refused", r"(?i)content-length:[^\r\n]*,"),
    Row("llhttp", WE, "HPE_INVALID_CONTENT_LENGTH", "9110 6.5.1", "we", "a trailer's framing fields are ignored", r"\n0+[;\r]"),
    Row("nginx", WE, "HTTP/1.1 400", "9110 8.6", "both", "equal lengths, in a list or several fields, may be refused", r"(?i)content-length:[^\r\n]*(,|\r\n([^\r\n]+\r\n)*content-length:)"),
    Row("llhttp", WE, "HPE_UNEXPECTED_CONTENT_LENGTH", "9110 8.6", "both", "as may be equal lengths in several fields"),
    Row("llhttp", WE, "HPE_INVALID_METHOD", "9110 9.1", "we", "methods are tokens; it knows a list of them"),
    Row("nginx", WE, "HTTP/1.1 400", "9110 9.1", "we", "methods are tokens; it knows capitals", r"^(\r\n)*[A-Z_-]*[^A-Z_\s-]\S* "),
    Row("llhttp", WE, "HPE_INVALID_TRANSFER_ENC", "9110 5.6.3", "we", "a tab is white space around a value", r"(?i)\ntransfer-encoding:[^\r\n]*\t"),
    Row("nginx", WE, "HTTP/1.1 501", "9110 5.6.3", "we", "as above", r"(?i)\ntransfer-encoding:[^\r\n]*\t"),
    Row("nginx", WE, "HTTP/1.1 400", "9110 5.6.3", "we", "as above", r"(?i)\nhost:[^\r\n]*\t"),
    Row("nginx", WE, "HTTP/1.1 400", "9112 3.2", "we", "Host is empty where the target has no authority", r"(?i)\nhost:[ \t]*\r\n"),
    Row("nginx", WE, "HTTP/1.1 400", "3986 3.2.2", "we", "a registered name may hold more", r"(?i)^(\r\n)*\S+ https?://[^/? ]*[^a-z0-9.:/? -]"),
    Row("nginx", WE, "HTTP/1.1 400", "3986 2.1", "they", "a `%` without its digits; such a path names nothing here", r"^(\r\n)*\S+ \S*%(?![0-9A-Fa-f]{2})"),
    Row("nginx", WE, "HTTP/1.1 400", "9112 3.2.4", "we", "OPTIONS * is a request", r"OPTIONS \*"),
    Row("nginx", WE, "more", "9110 7.6.1", "we", "options are tokens, not parts of words", r"(?i)connection:[^\r\n]*close"),
    # Both take, and read otherwise.
    Row("nginx", OTHERWISE, "", "9112 3.2.2", "both", "it passes the origin-form on", r"(?i) https?://"),
]
XML = [
    Row("libxml2 expat", THEY, "at byte 0: a document type", "XML 2.8", "both", "we take no document types"),
    Row("libxml2 expat", THEY, "at byte 0: the XML declaration", "XML 2.8", "we", "a version is `1.` and digits"),
    Row("expat", WE, "encoding specified in", "XML 4.3.3", "they", "what is declared is not looked at where vendors' clients are sloppy"),
    Row("expat", WE, "unknown encoding", "XML 4.3.3", "they", "as above"),
    Row("expat", WE, "multi-byte encodings", "XML 4.3.3", "they", "as above"),
    Row("expat", WE, "not well-formed (invalid token)", "XML 2.3", "we", "names of the fifth edition; it knows the fourth", "\xef\xbb\xbf"),
    Row("libxml2", WE, "colons are forbidden", "Namespaces 7", "they", "targets of instructions, which mean nothing here"),
    Row("libxml2", WE, "xmlns", "Namespaces 2", "both", "names of namespaces are compared as strings, not read as URIs", "xmlns"),
]


def find(table, peer, kind, said, text):
    """The first row that fits."""
    found = next((row for row in table if row.fits(peer, kind, said, text)), None)
    if found:
        found.used += 1
    return found
