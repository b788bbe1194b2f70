//! A filter message of iSymphony's clients, in its right form and in that of the vendor's page.

use offhook_core::Wall;
use offhook_core::dialect::isymphony::read::{Filters, filters};
use offhook_core::dialect::isymphony::render;
use offhook_core::dialect::native::render::string;
use offhook_core::event::Fact;
use offhook_core::event::filter::Pattern;
use offhook_core::ground::limits::Limits;

/// Reads `data` strictly and leniently.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let limits = Limits::default();
    let [strict, lenient] = [false, true].map(|lenient| filters(text, lenient, &limits));
    assert_eq!(
        filters(&format!("\n{text} \t"), true, &limits).is_ok(),
        lenient.is_ok(),
        "space means nothing"
    );
    if let Ok(strict) = &strict {
        let lenient = lenient.as_ref().expect("the right form is right in both");
        assert_eq!(strict.correlation, lenient.correlation);
        if strict.types.iter().all(|word| !matches!(&**word, "login" | "logout")) {
            assert_eq!(strict, lenient);
        }
    }
    for result in [strict, lenient] {
        match result {
            Ok(read) => {
                // The types that the vendor's page misnames come on top.
                let more = Limits { isymphony_filters: u64::MAX, ..limits.clone() };
                let again = filters(&written(&read), false, &more).expect("what is written is right");
                assert_eq!(again.clause, read.clause, "{text}");
                let mut answer = Vec::new();
                render::success(&read.correlation, Wall(1), &mut answer);
                assert_answer(&answer, &read.correlation, "success", &limits);
            }
            Err(wrong) => {
                assert!(!wrong.text.is_empty());
                let mut answer = Vec::new();
                render::error(&wrong.correlation, &wrong.text, Wall(1), &mut answer);
                assert_answer(&answer, &wrong.correlation, "error", &limits);
            }
        }
    }
}

/// The right form of a message that was read.
fn written(read: &Filters) -> String {
    let mut out = br#"{"type":"filter","filters":["#.to_vec();
    for (name, test) in read.clause.tests() {
        assert!(!test.absent && !test.patterns.is_empty(), "a filter wants its property");
        for pattern in &test.patterns {
            let value = match pattern {
                Pattern::Any => "*",
                Pattern::Exact(value) => value,
                Pattern::Prefix(_) => panic!("there is no such filter"),
            };
            out.extend_from_slice(if out.ends_with(b"[") { b"{\"property\":" } else { b",{\"property\":" });
            string(name, &mut out);
            out.extend_from_slice(b",\"value\":");
            string(value, &mut out);
            out.push(b'}');
        }
    }
    String::from_utf8(out).expect("UTF-8") + "]}"
}

/// An answer is JSON with the right type and correlation: read as a message, its type alone is wrong.
fn assert_answer(answer: &[u8], correlation: &Fact, word: &str, limits: &Limits) {
    let answer = std::str::from_utf8(answer).expect("UTF-8");
    let wrong = filters(answer, false, limits).expect_err("an answer is no filter message");
    assert_eq!(
        (&wrong.correlation, &*wrong.text),
        (correlation, &*format!("type: found \"{word}\", allowed: \"filter\""))
    );
}
