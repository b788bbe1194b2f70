use super::super::Bounds;
use super::{Element, Node, tree};

const BOUNDS: Bounds = Bounds { depth: 8, attributes: 8 };

/// The tree with every name in full, or a part of the fault.
fn check(document: &str, expected: Result<&str, &str>) {
    match (tree(document.as_bytes(), BOUNDS), expected) {
        (Ok(root), Ok(expected)) => {
            assert_eq!(shown(&root), expected, "{document}");
            let mut written = Vec::new();
            root.write(&mut written);
            let again = tree(&written, BOUNDS).unwrap_or_else(|e| panic!("{document}: written wrongly: {e}"));
            assert_eq!(shown(&again), expected, "{}", String::from_utf8_lossy(&written));
        }
        (Err(e), Err(part)) => assert!(e.reason.contains(part), "{document}: {e}"),
        (got, expected) => panic!("{document}: {got:?}, expected {expected:?}"),
    }
}

fn shown(element: &Element) -> String {
    let mut out = format!("{{{}}}{}", element.namespace, element.name);
    for a in &element.attributes {
        out.push_str(&format!(" {{{}}}{}={:?}", a.namespace, a.name, a.value));
    }
    let children = element.children.iter().map(|node| match node {
        Node::Element(child) => shown(child),
        Node::Text(text) => format!("{text:?}"),
    });
    let children: Vec<String> = children.collect();
    if children.is_empty() { out } else { format!("{out}({})", children.join(",")) }
}

#[test]
fn trees() {
    check("<a/>", Ok("{}a"));
    check("<a xmlns='u'><b x='1'/></a>", Ok("{u}a({u}b {}x=\"1\")"));
    check("<p:a xmlns:p='u' p:x='1' x='2'><b/></p:a>", Ok("{u}a {u}x=\"1\" {}x=\"2\"({}b)"));
    check("<a xmlns='u'><b xmlns=''><c/></b><c/></a>", Ok("{u}a({}b({}c),{u}c)"));
    check("<a xmlns:p='u'><p:b xmlns:p='v'/><p:b/></a>", Ok("{}a({v}b,{u}b)"));
    check("<a xml:lang='en'/>", Ok("{}a {http://www.w3.org/XML/1998/namespace}lang=\"en\""));
    check("<a>1&lt;<![CDATA[<2>]]>&#x33;\r\n4<!-- - -->5<b/>6</a>", Ok(r#"{}a("1<<2>3\n45",{}b,"6")"#));
    check("<a x='&quot;&#10;&#13;&lt; é'>&#13;&amp;&gt;</a>", Ok(r#"{}a {}x="\"\n\r< é"("\r&>")"#));
    check("\u{feff}<?xml version='1.0' encoding='UTF-8'?>\n<a/>\n", Ok("{}a"));
    check("<?xml version='1.0' encoding='us-ascii'?><a/>", Ok("{}a"));
}

#[test]
fn faults() {
    check("", Err("no root"));
    check("<p:a/>", Err("not declared"));
    check("<a p:x=''/>", Err("not declared"));
    check("<a xmlns:p=''/>", Err("cannot be declared"));
    check("<a xmlns:xml='u'/>", Err("cannot be declared"));
    check("<a xmlns:xmlns='u'/>", Err("cannot be declared"));
    check("<a xmlns='http://www.w3.org/XML/1998/namespace'/>", Err("cannot be declared"));
    check("<a xmlns:p='u' xmlns:q='u' p:x='' q:x=''/>", Err("twice"));
    check("<:a/>", Err("no name"));
    check("<a:/>", Err("no name"));
    check("<a:b:c xmlns:a='u'/>", Err("no name"));
    check("<a:1 xmlns:a='u'/>", Err("no name"));
    check("<!DOCTYPE a><a/>", Err("document type"));
    check("<?xml version='1.0' encoding='ISO-8859-1'?><a/>", Err("ISO-8859-1"));
    assert!(tree(b"<a>\xff</a>", BOUNDS).is_err_and(|e| e.at == 3 && e.reason.contains("UTF-8")));
}

#[test]
fn looked_into_and_moved() {
    let document = b"<a xmlns='u' xmlns:k='v'> <b id='1' k:n='2'>t <c/>s</b><b id='3'/><k:b/> </a>";
    let root = tree(document, BOUNDS).unwrap();
    assert!(root.is("u", "a") && root.at == 0);
    assert_eq!(root.all("u", "b").filter_map(|b| b.attribute("id")).collect::<Vec<_>>(), ["1", "3"]);
    let first = root.find("u", "b").unwrap();
    assert_eq!((first.text().as_str(), first.attribute("n")), ("t s", None));
    assert_eq!((root.find("v", "b").unwrap().at, root.find("", "b")), (66, None));
    // Where an element stands, its prefixes are declared.
    let mut other = Element::new("w", "o");
    other.set_attribute("x", "<1>");
    other.set_attribute("x", "\"2\"");
    other.children.push(Node::Element(first.clone()));
    let mut out = Vec::new();
    other.write(&mut out);
    let expected =
        "<o xmlns=\"w\" x=\"&quot;2&quot;\"><b xmlns=\"u\" id=\"1\" xmlns:k=\"v\" k:n=\"2\">t <c/>s</b></o>";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}
