"""Ours against others: requests of a connection (h11, Node's llhttp, nginx), documents (libxml2, expat).

    python3 compare.py VERDICTS [NGINX]

VERDICTS is tests/src/bin/verdicts.rs, built; without NGINX, nginx is left out. Each disagreement has a row in `known`, with
the section that decides; one without a row is printed, and the exit code is 1.
"""

import collections
import sys

import documents
import inputs
import known
import peers


def requests(verdict, with_fields):
    """What two readers of the same connection have to agree on."""
    for request in verdict["requests"]:
        fields = [[name.lower(), value] for name, value in request.get("fields", [])]
        # h11 merges lengths; what they mean is in the content.
        fields = [field for field in fields if field[0] not in ("content-length", "transfer-encoding")]
        yield (request["method"], request["target"], request["content"], fields if with_fields else None)


def latin1(verdict):
    """Our fields are UTF-8; others show each byte as a character."""
    for request in verdict["requests"]:
        request["fields"] = [[name, value.encode().decode("latin-1")] for name, value in request["fields"]]


def difference(text, ours, theirs, with_fields):
    """The first request that is not the same: where it begins, who took one, and if both did, what differs."""
    mine, other = list(requests(ours, with_fields)), list(requests(theirs, with_fields))
    for at in range(max(len(mine), len(other))):
        one = mine[at] if at < len(mine) else None
        two = other[at] if at < len(other) else None
        if one == two:
            continue
        start = ours["requests"][at - 1]["end"] if at else 0
        if one is None or two is None:
            kind = "only they" if one is None else "only we"
        else:
            kind = "otherwise"
        return kind, text[start:], (one, ours["why"]), (two, theirs["why"])
    return None


def compare(name, texts, mine, others, with_fields, table):
    unknown, counted = collections.Counter(), collections.Counter()
    for text, ours, theirs in zip(texts, mine, others):
        found = difference(text, ours, theirs, with_fields)
        if found is None:
            counted["agree"] += 1
            continue
        kind, rest, one, two = found
        said = {"only they": one[1], "only we": two[1], "otherwise": ""}[kind]
        # Why a connection ended stands in the request before.
        row = known.find(table, name, kind, said, text if said in ("closed", "more") else rest)
        if row:
            counted[row.section] += 1
            continue
        unknown[kind, said] += 1
        if unknown[kind, said] <= 3:
            print(f"{name}, {kind}: {rest[:300]!r}\n  ours: {one}\n  theirs: {two}")
    known_ones = sum(counted.values()) - counted["agree"]
    print(f"{name}: {counted['agree']} agree, {known_ones} differ as known, {sum(unknown.values())} unknown")
    return unknown


def main():
    program, *nginx = sys.argv[1:]
    texts = inputs.http()
    mine = peers.ours(program, "http", texts)
    for verdict in mine:
        latin1(verdict)
    unknown = compare("h11", texts, mine, map(peers.of_h11, texts), True, known.HTTP)
    unknown += compare("llhttp", texts, mine, peers.llhttp(texts), True, known.HTTP)
    if nginx:
        unknown += compare("nginx", texts, mine, peers.nginx(nginx[0], texts), False, known.HTTP)
    texts = inputs.xml()
    mine = peers.ours(program, "xml", texts)
    unknown += documents.compare(texts, mine)
    for row in [*known.HTTP, *known.XML]:
        if not row.used and (nginx or row.peer != "nginx"):
            print(f"no input shows this: {row}")
    return 1 if unknown else 0


if __name__ == "__main__":
    sys.exit(main())
