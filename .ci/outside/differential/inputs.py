"""Inputs for comparison: the corpora of the fuzz targets, and mutations of requests and documents from one seed."""

import pathlib
import random

CORPORA = pathlib.Path(__file__).parents[3] / "fuzz" / "corpus"

# What shows that two readers of a request disagree on its end: one of them does not see this one.
NEXT = b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n"

REQUESTS = [
    b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /a?b=c&d HTTP/1.1\r\nHost: a:80\r\nAccept: */*\r\nX-Y: z\r\n\r\n",
    b"HEAD /a HTTP/1.1\r\nhost: a\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET http://a/b HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET http://a_b/c HTTP/1.1\r\nHost: a_b\r\n\r\n",
    b"GET /a HTTP/1.0\r\n\r\n",
    b"POST /a HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"GET /a HTTP/1.1\r\nHost: a\r\nConnection: closed\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\t\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    b"GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    b"DELETE /a HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nhello",
    b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    b"PUT /a HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\nContent-Length: 32\r\n\r\n" + NEXT,
    b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n5;x=y\r\nhello\r\n00\r\nX: y\r\n\r\n",
    b'POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nA ; x = "y;z"\r\n0123456789\r\n0\r\n\r\n',
    b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: \r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y z\r\nhello\r\n0\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
    b"POST /a HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello",
    b"GET /a HTTP/1.1\r\nHost: a\r\nX: one\r\n two\r\n\r\n",
    b"\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /a HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"GET /a HTTP/1.1\nHost: a\n\n",
]

WORDS_HTTP = [
    b"\r", b"\n", b"\r\n", b"\r\n\r\n", b" ", b"\t", b"\0", b"\x0b", b"\x7f", b"\xa0", b"\xc3\xa9", b":", b",", b";",
    b'"', b"=", b"+", b"-", b"_", b"#", b"%", b"?", b"/", b"0", b"5", b"0x5", b"0005", b"f", b"18446744073709551621",
    b"chunked", b"identity", b"close", b"keep-alive", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"Host: a\r\n",
    b"Content-Length: 5\r\n", b"Content-Length: 6\r\n", b"Content-Length: \r\n", b"Content-Length : 5\r\n",
    b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: x\r\n", b"Transfer-Encoding:\r\n", b" folded\r\n",
    b"Connection: close\r\n", b"X: \xe9\r\n", b"0\r\n\r\n", b"5\r\nhello\r\n", NEXT,
]

DOCUMENTS = [
    b"<a/>",
    b"<?p:q r?><a/>",
    b'<?xml version="1.0" encoding="u16"?><a/>',
    b'<?xml version="1.0" encoding="none-of-these"?><a/>',
    b'<?xml version="1.0" encoding="UTF-8"?>\n<a b="c"><d>e</d><!-- f --><?g h?></a>\n',
    b'<a xmlns="urn:x" xmlns:p="urn:y" p:b="c" b="d"><p:e/><f xmlns=""/></a>',
    b"<a>&lt;&amp;&#65;&#x41;&apos;<![CDATA[<b>&]]>]]</a>",
    b'<a b="1\t2\r\n3&#10;4&quot;\'"/>',
    "<é ñ='日本'>\u00a0</é>".encode(),
]

WORDS_XML = [
    b"<", b">", b"/>", b"</a>", b"&", b"&lt;", b"&#0;", b"&#xD800;", b"&#x1F4DE;", b"&x;", b'"', b"'", b"=", b" ",
    b"\t", b"\r", b"\n", b"\0", b"\x0b", b"\x7f", b"\xef\xbf\xbe", b"\xc2\x85", b":", b"p:", b"xml:", b"xmlns",
    b'xmlns=""', b'xmlns:p="urn:p"', b'xmlns:q=""', b' b="x"', b"<!--", b"-->", b"--", b"<![CDATA[", b"]]>", b"<?x y?>",
    b"<?xml version='1.0'?>", b"<!DOCTYPE a>", b"standalone='yes'", b"version='1.1'", b"encoding='latin1'",
    b"\xef\xbb\xbf", b"-", b".", b"1", b"\xc3\xa9", b"<b/>", b"<b>", b"</b>",
]


def mutated(rng, base, others, words):
    """`base` with a few things wrong."""
    text = bytearray(base)
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3))):
        at = rng.randrange(len(text) + 1)
        match rng.randrange(8):
            case 0 if text:
                text[at % len(text)] ^= 1 << rng.randrange(8)
            case 1:
                del text[at : at + rng.randrange(1, 4)]
            case 2:
                text[at:at] = text[at : at + rng.randrange(1, 24)]
            case 3:
                end = at + rng.randrange(1, 6)
                text[at:end] = rng.choice(words)
            case 4:
                other = rng.choice(others)
                text[at:] = other[rng.randrange(len(other) + 1) :]
            case 5:
                # A whole line, or what is one here, goes elsewhere.
                lines = bytes(text).splitlines(keepends=True)
                if lines:
                    lines.insert(rng.randrange(len(lines) + 1), lines.pop(rng.randrange(len(lines))))
                text = bytearray(b"".join(lines))
            case _:
                text[at:at] = rng.choice(words)
    return bytes(text)


def corpus(*targets, skip=0):
    """The committed inputs of these targets, without so many bytes in front that choose something."""
    files = sorted(file for target in targets for file in (CORPORA / target).iterdir())
    return [file.read_bytes()[skip:] for file in files]


def of(bases, words, count, behind, seed):
    rng = random.Random(seed)
    wrong = (mutated(rng, rng.choice(bases), bases, words) for _ in range(count))
    return list(dict.fromkeys(text + behind for text in [*bases, *wrong] if len(text) < 8000))


def http(count=6000, seed=9112):
    bodies = [b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + b for b in corpus("http_body")]
    bases = [*REQUESTS, *corpus("http_head", "http_connection"), *bodies]
    return of(bases, WORDS_HTTP, count, NEXT, seed)


def xml(count=4000, seed=1998):
    bases = [*DOCUMENTS, *corpus("xms_xml", "sep_subscribe"), *corpus("sip_packages", skip=1)]
    bases = [base for base in bases if base.lstrip()[:1] == b"<"]
    return of(bases, WORDS_XML, count, b"", seed)


def framed(inputs):
    """Each behind its length."""
    return b"".join(len(text).to_bytes(4, "big") + text for text in inputs)
