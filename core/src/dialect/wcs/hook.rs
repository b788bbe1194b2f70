//! A hook as bytes: head and body of the request, and the signature. Nothing is sent here.

use std::fmt::Write as _;
use std::sync::Arc;

use data_encoding::{BASE64, HEXLOWER};
use hmac::{Hmac, KeyInit as _, Mac as _};
use md5::Md5;

use crate::dialect::native::render;
use crate::event::projection::camel_case;
use crate::event::{Event, Fact};
use crate::ground::config::WcsApp;
use crate::hub::call::Target;
use crate::wire::http::url::Url;

/// Names of fields and their values, in order.
pub type Fields = Vec<(Box<str>, Fact)>;

/// The names that stand first in every body.
const FIRST: [&str; 3] = ["nodeId", "appKey", "sessionId"];

/// An application's backend: where its hooks go, and what they all say.
#[derive(Debug)]
pub struct Backend {
    target: Arc<Target>,
    /// The URL's path, without the slashes at its end.
    path: Box<str>,
    authority: Box<str>,
    authorization: Authorization,
}

enum Authorization {
    None,
    Basic(Box<str>),
    Hash(Box<[u8]>),
}

/// Secrets stay out of logs.
impl std::fmt::Debug for Authorization {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Authorization::None => "None",
            Authorization::Basic(_) => "Basic",
            Authorization::Hash(_) => "Hash",
        })
    }
}

/// An application's URL.
///
/// # Errors
/// A sentence that follows on the URL's name.
pub fn application_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|fault| fault.to_string())?;
    if url.has_query() {
        return Err("a query has no place before the name of a hook".to_owned());
    }
    Ok(url)
}

impl Backend {
    /// The backend of an application.
    ///
    /// # Errors
    /// What is wrong with its URL.
    pub fn new(app: &WcsApp) -> Result<Backend, String> {
        let url = application_url(&app.url)?;
        let authorization = match (&app.hash_secret, &app.basic) {
            (Some(secret), _) => Authorization::Hash(secret.as_bytes().into()),
            (None, Some((user, password))) => {
                let credentials = BASE64.encode(format!("{user}:{password}").as_bytes());
                Authorization::Basic(credentials.into_boxed_str())
            }
            (None, None) => Authorization::None,
        };
        let tls = url.https.then(|| Arc::new(app.tls.clone()));
        Ok(Backend {
            path: url.target.trim_end_matches('/').into(),
            authority: url.authority,
            target: Arc::new(Target { host: url.host, port: url.port, tls, trusted: true }),
            authorization,
        })
    }

    /// Where its requests go.
    #[must_use]
    pub fn target(&self) -> &Arc<Target> {
        &self.target
    }

    /// The URL of a hook, without credentials.
    #[must_use]
    pub fn address(&self, hook: &str) -> String {
        let scheme = if self.target.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}{}/{hook}", self.authority, self.path)
    }

    /// The whole request that calls a hook.
    #[must_use]
    pub fn request(&self, hook: &str, body: &[u8]) -> Vec<u8> {
        let mut head = String::with_capacity(320 + body.len());
        // Writing to a String does not fail.
        let _ = write!(
            head,
            "POST {}/{hook} HTTP/1.1\r\nAccept: application/json\r\nContent-Type: application/json;charset=UTF-8\r\n\
             User-Agent: offhook/{}\r\nHost: {}\r\nConnection: keep-alive\r\n",
            self.path,
            env!("CARGO_PKG_VERSION"),
            self.authority,
        );
        let _ = match &self.authorization {
            Authorization::None => Ok(()),
            Authorization::Basic(credentials) => write!(head, "Authorization: Basic {credentials}\r\n"),
            Authorization::Hash(secret) => write!(head, "Authorization: WCS {}\r\n", signature(secret, body)),
        };
        let _ = write!(head, "Content-Length: {}\r\n\r\n", body.len());
        let mut request = head.into_bytes();
        request.extend_from_slice(body);
        request
    }
}

/// HMAC-MD5 of the body (RFC 2104), in lower-case hexadecimal.
#[must_use]
pub fn signature(secret: &[u8], body: &[u8]) -> String {
    let mut mac = Hmac::<Md5>::new_from_slice(secret).expect("HMAC takes keys of any length");
    mac.update(body);
    HEXLOWER.encode(&mac.finalize().into_bytes())
}

/// An event's facts under the names that they have on the wire. Of names that become the same one, the first counts.
#[must_use]
pub fn fields(event: &Event) -> Fields {
    let mut fields = Fields::with_capacity(event.facts().len());
    for (name, fact) in event.facts() {
        let name = camel_case(name);
        if !fields.iter().any(|(other, _)| **other == *name) {
            fields.push((name.into_boxed_str(), fact.clone()));
        }
    }
    fields
}

/// The body of a hook: the three that identify, then the fields that are not excluded, as compact JSON.
#[must_use]
pub fn body(node_id: &str, app_key: &str, session_id: &str, fields: &Fields, exclude: &[String]) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    for (name, value) in FIRST.iter().zip([node_id, app_key, session_id]) {
        out.push(if out.is_empty() { b'{' } else { b',' });
        render::string(name, &mut out);
        out.push(b':');
        render::string(value, &mut out);
    }
    for (name, fact) in fields {
        if FIRST.contains(&&**name) || exclude.iter().any(|excluded| **excluded == **name) {
            continue;
        }
        out.push(b',');
        render::string(name, &mut out);
        out.push(b':');
        render::fact(fact, &mut out);
    }
    out.push(b'}');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::wcs::tests::{VENDOR_BODY, VENDOR_SESSION, vendor_event};

    const NODE: &str = "Hw47CFMBEchVOpBMDr29IxjudnJ1sjOY@192.168.1.101";

    fn app(url: &str) -> WcsApp {
        WcsApp { url: url.to_owned(), ..WcsApp::default() }
    }

    fn vendor_body(exclude: &[String]) -> Vec<u8> {
        body(NODE, "defaultApp", VENDOR_SESSION, &fields(&vendor_event()), exclude)
    }

    #[test]
    fn w1_w3_a_hook_is_byte_for_byte_the_vendors() {
        let body = vendor_body(&[]);
        assert_eq!((String::from_utf8_lossy(&body).as_ref(), body.len()), (VENDOR_BODY, 372));
        let backend = Backend::new(&app("http://192.168.1.101/rest/my_api")).unwrap();
        let expected = format!(
            "POST /rest/my_api/StreamStatusEvent HTTP/1.1\r\nAccept: application/json\r\n\
             Content-Type: application/json;charset=UTF-8\r\nUser-Agent: offhook/{}\r\nHost: 192.168.1.101\r\n\
             Connection: keep-alive\r\nContent-Length: 372\r\n\r\n{VENDOR_BODY}",
            env!("CARGO_PKG_VERSION")
        );
        let request = backend.request("StreamStatusEvent", &body);
        assert_eq!(String::from_utf8_lossy(&request), expected);
    }

    #[test]
    fn w2_one_slash_stands_before_the_hook() {
        for (url, line, host) in [
            ("http://h", "POST /connect HTTP/1.1", "h"),
            ("http://h/", "POST /connect HTTP/1.1", "h"),
            ("http://h:8081/apps/EchoApp", "POST /apps/EchoApp/connect HTTP/1.1", "h:8081"),
            ("https://h:443/apps/EchoApp/", "POST /apps/EchoApp/connect HTTP/1.1", "h:443"),
            ("http://[::1]/a//", "POST /a/connect HTTP/1.1", "[::1]"),
        ] {
            let backend = Backend::new(&app(url)).unwrap();
            let request = String::from_utf8(backend.request("connect", b"{}")).unwrap();
            assert_eq!(request.lines().next(), Some(line), "{url}");
            assert!(request.contains(&format!("\r\nHost: {host}\r\n")), "{request}");
            assert_eq!(backend.target().tls.is_some(), url.starts_with("https"));
        }
        assert!(Backend::new(&app("http://h/?hook=")).is_err());
    }

    #[test]
    fn w29_signatures_equal_the_test_vectors() {
        assert_eq!(signature(b"secret", br#"{"nodeId":"n@127.0.0.1"}"#), "b80bfe159603de16887fa8e07a9eff82");
        assert_eq!(signature(b"secret", &vendor_body(&[])), "daa7b231f04bdbf18ae2e4d20e599317");
    }

    /// W29: the signature covers the bytes after restExclude.
    #[test]
    fn w8_w29_excluded_fields_are_gone_before_signing() {
        let body = vendor_body(&["sdp".to_owned(), "nodeId".to_owned(), "no_such".to_owned()]);
        let text = String::from_utf8(body.clone()).unwrap();
        assert_eq!(text, VENDOR_BODY.replace(r#""sdp":"v=0","#, ""));
        let signed = WcsApp { hash_secret: Some("secret".to_owned()), ..app("http://h") };
        let request = Backend::new(&signed).unwrap().request("StreamStatusEvent", &body);
        let field = format!("\r\nAuthorization: WCS {}\r\n", signature(b"secret", &body));
        assert!(String::from_utf8_lossy(&request).contains(&field));
    }

    #[test]
    fn w30_basic_is_sent_unasked() {
        let basic = Some(("user".to_owned(), "pass".to_owned()));
        let backend = Backend::new(&WcsApp { basic, ..app("http://h") }).unwrap();
        let request = String::from_utf8(backend.request("connect", b"{}")).unwrap();
        assert!(request.contains("\r\nAuthorization: Basic dXNlcjpwYXNz\r\n"), "{request}");
        assert!(!format!("{backend:?}").contains("dXNlcjpwYXNz"));
    }

    #[test]
    fn fields_are_camel_case_and_stand_once() {
        let event = crate::dialect::wcs::tests::event(
            "stream.status",
            &[],
            r#"{"media_session_id":"1","mediaSessionId":"2","session_id":"x","audio_state":{"muted": true},"n":1.0,"u":"ü/\u0001","z":null}"#,
        );
        let body = body("n", "a", "s\"", &fields(&event), &[]);
        assert_eq!(
            String::from_utf8(body).unwrap(),
            "{\"nodeId\":\"n\",\"appKey\":\"a\",\"sessionId\":\"s\\\"\",\"mediaSessionId\":\"1\",\
             \"audioState\":{\"muted\":true},\"n\":1.0,\"u\":\"ü/\\u0001\",\"z\":null}"
        );
    }
}
