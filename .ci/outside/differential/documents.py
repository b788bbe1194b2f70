"""Documents: libxml2 (through lxml) reads the tree, expat the elements' starts and ends."""

import collections
from xml.parsers import expat

from lxml import etree

import known


def tree(text):
    parser = etree.XMLParser(resolve_entities=False, no_network=True, remove_comments=True, remove_pis=True, strip_cdata=True)
    try:
        return element(etree.fromstring(text, parser)), None
    except (etree.XMLSyntaxError, ValueError) as error:
        return None, str(error)


def element(one):
    name = etree.QName(one)
    attributes = sorted([etree.QName(key).namespace or "", etree.QName(key).localname, value] for key, value in one.items())
    children = [one.text or ""]
    for child in one:
        children += [element(child), child.tail or ""]
    return [name.namespace or "", name.localname, attributes, [child for child in children if child != ""]]


def tokens(text):
    parser, found = expat.ParserCreate(), []
    parser.ordered_attributes = True
    parser.StartElementHandler = lambda name, a: found.append([name, [[a[n], a[n + 1]] for n in range(0, len(a), 2)]])
    parser.EndElementHandler = lambda name: found.append([])
    try:
        parser.Parse(text, True)
        return found, None
    except (expat.ExpatError, ValueError, LookupError) as error:
        return None, str(error)


def compare(texts, mine):
    unknown = collections.Counter()
    for name, reader, part in (("libxml2", tree, "tree"), ("expat", tokens, "tokens")):
        counted, wrong = collections.Counter(), 0
        for text, ours in zip(texts, mine):
            read, why = reader(text)
            if read == ours[part]:
                counted["agree"] += 1
                continue
            kind = "only they" if ours[part] is None else "only we" if read is None else "otherwise"
            said = {"only they": ours["why"], "only we": why, "otherwise": ""}[kind] or ""
            row = known.find(known.XML, name, kind, said, text)
            if row:
                counted["known"] += 1
                continue
            wrong += 1
            unknown[name, kind, said] += 1
            if unknown[name, kind, said] <= 2:
                print(f"{name}, {kind}: {text[:300]!r}\n  ours: {ours['why'] or ours[part]}\n  theirs: {why or read}")
        print(f"{name}: {counted['agree']} agree, {counted['known']} differ as known, {wrong} unknown")
    return unknown
