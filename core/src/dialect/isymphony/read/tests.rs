use super::*;

fn limits() -> Limits {
    Limits { isymphony_filters: 3, isymphony_depth: 8, ..Limits::default() }
}

fn clause(pairs: &[(&'static str, &str)]) -> Clause {
    let pattern = |text: &str| if text == "*" { Pattern::Any } else { Pattern::Exact(text.into()) };
    pairs.iter().map(|(name, text)| (*name, pattern(text))).collect()
}

/// The examples of the vendor's page, word for word, but for the one with `...`.
const PAGE: [(&str, &[(&str, &str)]); 5] = [
    (
        r#"{
"type" : "filter",
"correlationId" : "123456",
"filters" : [
{"property" : "type" : "value" : "dial"}
]
}"#,
        &[("type", "dial")],
    ),
    (
        r#"{
"type" : "filter",
"filters" : [
{"property" : "type" : "value" : "dial"}
]
}"#,
        &[("type", "dial")],
    ),
    (
        r#"{
"type" : "filter",
"filters" : [
{"property" : "type" : "value" : "login"},
{"property" : "type" : "value" : "logout"}
]
}"#,
        &[("type", "login"), ("type", "logout"), ("type", "userLogin"), ("type", "userLogout")],
    ),
    (
        r#"{
"type" : "filter",
"filters" : [
{"property" : "type" : "value" : "login"},
{"property" : "type" : "value" : "logout"},
{"property" : "username" : "value" : "mikey"}
]
}"#,
        &[
            ("type", "login"),
            ("type", "logout"),
            ("type", "userLogin"),
            ("type", "userLogout"),
            ("username", "mikey"),
        ],
    ),
    (
        r#"{
"type" : "filter",
"filters" : [
{"property" : "username" : "value" : "*"}
]
}"#,
        &[("username", "*")],
    ),
];

#[test]
fn i21_i40_the_pages_examples_are_read() {
    for (text, expected) in PAGE {
        let read = filters(text, true, &limits()).unwrap();
        assert_eq!(read.clause, clause(expected), "{text}");
        assert_eq!(read.correlation == Fact::Text("123456".into()), text.contains("correlationId"));
        // The right form means the same.
        let right = text.replace(" : \"value\"", ", \"value\"");
        assert_eq!(filters(&right, true, &limits()), Ok(read), "{right}");
    }
}

#[test]
fn i22_strictly_they_are_errors_with_a_lesson() {
    for (text, _) in PAGE {
        let wrong = filters(text, false, &limits()).unwrap_err();
        assert_eq!(wrong.correlation, Fact::Null);
        assert!(
            wrong.text.starts_with("filters[0]: not JSON: write {\"property\":\"type\",\"value\":\"")
                || wrong
                    .text
                    .starts_with("filters[0]: not JSON: write {\"property\":\"username\",\"value\":\"*\"}")
        );
        assert!(wrong.text.ends_with("} (a comma before \"value\", not a colon)"), "{}", wrong.text);
    }
    let dots =
        r#"{"type":"filter","filters":[{"property" : "<property name>" : "value" : "<filter value>"}, ...]}"#;
    for lenient in [true, false] {
        let wrong = filters(dots, lenient, &limits()).unwrap_err();
        let lesson = r#"filters[0]: not JSON: write {"property":"<property name>","value":"<filter value>"} (a comma before "value", not a colon)"#;
        assert!(wrong.text.starts_with(lesson), "{}", wrong.text);
        assert_eq!(
            wrong.text.ends_with("; with that mended: expected value at line 1 column 92"),
            lenient,
            "{}",
            wrong.text
        );
    }
    // Strictly, the page's names of types are taken at their word.
    let login = r#"{"type":"filter","filters":[{"property":"type","value":"login"}]}"#;
    assert_eq!(filters(login, false, &limits()).unwrap().clause, clause(&[("type", "login")]));
    assert_eq!(filters(login, false, &limits()).unwrap().types, ["login".into()]);
    assert!(filters(login, true, &limits()).unwrap().types.is_empty());
}

#[test]
fn messages() {
    let read = |text: &str| filters(text, true, &limits()).map_err(|wrong| (wrong.correlation, wrong.text));
    let none = Fact::Null;
    for (text, expected) in [
        (r#"{"type":"filter","filters":[]}"#, &[][..]),
        // I11: of one property any, of two both. I15, I16, I17: values are plain text.
        (
            r#" {"type":"filter","filters":[{"property":"a","value":"mi*"},{"property":"A","value":" x "},{"property":"a","value":57042}]} "#,
            &[("a", "mi*"), ("A", " x "), ("a", "57042")],
        ),
        (
            r#"{"type":"filter","filters":[{"property":"a","value":true},{"property":"b","value":-1.0}]}"#,
            &[("a", "true"), ("b", "-1.0")],
        ),
        (
            r#"{"type":"filter","filters":[{"property":"a","value":"*"},{"property":"a","value":"b"}]}"#,
            &[("a", "*")],
        ),
        (r#"{"type":"filter","filters":[{"property":"a","value":""}]}"#, &[("a", "")]),
        // I25: further keys are ignored.
        (r#"{"x":[{}],"type":"filter","filters":[{"property":"a","value":"b","type":1}]}"#, &[("a", "b")]),
        (r#"{"type":"filter","correlationId":null,"filters":[]}"#, &[]),
    ] {
        let expected = Filters { correlation: none.clone(), clause: clause(expected), types: Vec::new() };
        assert_eq!(read(text), Ok(expected), "{text}");
    }
    // I19: what identifies the message comes back.
    for (correlation, expected) in
        [("\"a\\u0062\"", Fact::Text("ab".into())), ("1.50", Fact::Number("1.50".into()))]
    {
        let text = format!(r#"{{"correlationId":{correlation},"type":"filter","filters":[]}}"#);
        assert_eq!(read(&text).map(|f| f.correlation), Ok(expected.clone()));
        let text = format!(r#"{{"correlationId":{correlation},"type":"x","filters":[]}}"#);
        assert_eq!(read(&text), Err((expected, "type: found \"x\", allowed: \"filter\"".to_owned())));
    }
}

#[test]
fn i19_i20_i23_i24_i25_what_is_wrong_is_named() {
    let filter = |filters: &str| format!(r#"{{"correlationId":1,"type":"filter","filters":{filters}}}"#);
    let one = Fact::Number("1".into());
    for (text, correlation, expected) in [
        (String::new(), &Fact::Null, "not JSON: EOF while parsing a value at line 1 column 0"),
        ("{".to_owned(), &Fact::Null, "not JSON: EOF while parsing an object at line 1 column 1"),
        (
            r#"{"type":"filter","filters":[]} x"#.to_owned(),
            &Fact::Null,
            "not JSON: trailing characters at line 1 column 32",
        ),
        (
            "[]".to_owned(),
            &Fact::Null,
            r#"the message is no object: write {"type":"filter","filters":[{"property":"type","value":"dial"}]}"#,
        ),
        (r#"{"filters":[]}"#.to_owned(), &Fact::Null, r#"type is missing, allowed: "filter""#),
        (r#"{"type":1,"filters":[]}"#.to_owned(), &Fact::Null, r#"type is no string, allowed: "filter""#),
        (
            r#"{"type":"filter","correlationId":{},"filters":[]}"#.to_owned(),
            &Fact::Null,
            "correlationId is neither a string nor a number",
        ),
        (
            r#"{"type":"filter","type":"filter","filters":[]}"#.to_owned(),
            &Fact::Null,
            "\"type\" stands twice",
        ),
        (r#"{"correlationId":1,"x":1,"x":1,"filters":[]}"#.to_owned(), &one, "\"x\" stands twice"),
        (
            r#"{"type":"filter","correlationId":1}"#.to_owned(),
            &one,
            r#"filters is missing: write [{"property":"type","value":"dial"}]"#,
        ),
        (filter("{}"), &one, r#"filters is no array: write [{"property":"type","value":"dial"}]"#),
        (filter("[1]"), &one, r#"filters[0]: no object: write {"property":"type","value":"dial"}"#),
        (
            filter(r#"[{"property":"a","value":"b"},{"value":"b"}]"#),
            &one,
            r#"filters[1]: property is missing: write {"property":"type","value":"dial"}"#,
        ),
        (filter(r#"[{"property":"","value":"b"}]"#), &one, "filters[0]: property is empty"),
        (
            filter(r#"[{"property":"\u0000user","value":"b"}]"#),
            &one,
            "filters[0]: property begins with U+0000",
        ),
        (filter(r#"[{"property":1,"value":"b"}]"#), &one, "filters[0]: property is no string"),
        (
            filter(r#"[{"property":"a"}]"#),
            &one,
            r#"filters[0]: value is missing: write {"property":"type","value":"dial"}"#,
        ),
        (
            filter(r#"[{"property":"a","value":null}]"#),
            &one,
            "filters[0]: value is neither a string nor a number nor a boolean",
        ),
        (filter(r#"[{"property":"a","value":"b","value":"b"}]"#), &one, "filters[0]: \"value\" stands twice"),
        (filter(&format!("[{}1]", "1,".repeat(3))), &one, "filters: found 4, allowed: at most 3"),
        // I35: nobody nests so deep, wherever it stands.
        ("[".repeat(1_000), &Fact::Null, "the message is nested deeper than 8 levels"),
        (
            format!(r#"{{"x":{}{},"type":"filter","filters":[]}}"#, "[".repeat(1_000), "]".repeat(1_000)),
            &Fact::Null,
            "the message is nested deeper than 8 levels",
        ),
    ] {
        let wrong = filters(&text, true, &limits()).expect_err(&text);
        assert_eq!((&wrong.correlation, wrong.text.as_str()), (correlation, expected), "{text}");
    }
}

proptest::proptest! {
    /// No text is too strange.
    #[test]
    fn strange_texts_are_survived(text in "[\\[\\]{}:,\" \\\\é1a-z]{0,80}") {
        let _ = filters(&text, true, &limits());
        let _ = filters(&format!(r#"{{"type":"filter","filters":[{text}]}}"#), true, &limits());
    }
}
