//! What a client of the SIP Event Package API writes and reads, in both faces.

use std::fmt::Write as _;

use offhook_core::Wall;

/// XML under the vendor's path, or JSON.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Face {
    /// XML.
    Xml,
    /// JSON.
    Json,
}

/// A subscription, as it is shown.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) id: String,
    pub(super) version: u64,
    pub(super) expires: Wall,
    pub(super) ended: Option<String>,
    pub(super) resources: Vec<Resource>,
}

/// One of its resources.
#[derive(Debug)]
pub(super) struct Resource {
    pub(super) uri: String,
    /// State and body.
    pub(super) instances: Vec<(String, String)>,
}

impl Face {
    pub(super) fn path(self) -> &'static str {
        match self {
            Face::Xml => "/v/2009-06/sep",
            Face::Json => "/v1/subscriptions",
        }
    }

    pub(super) fn content_type(self) -> &'static str {
        match self {
            Face::Xml => "Content-Type: text/xml\r\n",
            Face::Json => "Content-Type: application/json\r\n",
        }
    }

    /// What is wanted; what is `None` is not said.
    pub(super) fn wish(
        self,
        event: Option<&str>,
        uris: Option<&[String]>,
        callback: Option<&str>,
        now: Wall,
        lasts_s: u64,
    ) -> String {
        match self {
            Face::Json => {
                let mut wish = serde_json::json!({ "expires": lasts_s });
                event.into_iter().for_each(|event| wish["package"] = event.into());
                uris.into_iter().for_each(|uris| wish["uris"] = uris.into());
                callback.into_iter().for_each(|callback| wish["callback"] = callback.into());
                wish.to_string()
            }
            Face::Xml => {
                let event = event.map(|event| format!(" event=\"{event}\"")).unwrap_or_default();
                let mut out = format!("<subscribe xmlns=\"http://voip.co.uk/api/sep/2009-06\"{event}>");
                if let Some(uris) = uris {
                    let entries: String = uris.iter().map(|uri| format!("<entry uri=\"{uri}\"/>")).collect();
                    let _ = write!(
                        out,
                        "<resource-lists xmlns=\"urn:ietf:params:xml:ns:resource-lists\"><list>{entries}</list>\
                         </resource-lists>"
                    );
                }
                if let Some(callback) = callback {
                    let _ = write!(out, "<notify url=\"{callback}\"/>");
                }
                let end = Wall(now.0 + 1_000 * lasts_s).to_rfc3339();
                let _ = write!(out, "<expires>{end}</expires></subscribe>");
                out
            }
        }
    }
}

impl Document {
    /// Reads one, strictly.
    pub(super) fn read(face: Face, text: &str) -> Document {
        let read = match face {
            Face::Xml => Document::xml(text),
            Face::Json => Document::json(text),
        };
        read.unwrap_or_else(|| panic!("a document of a subscription: {text}"))
    }

    fn json(text: &str) -> Option<Document> {
        let value: serde_json::Value = serde_json::from_str(text).ok()?;
        let string = |value: &serde_json::Value| value.as_str().map(str::to_owned);
        let instance = |of: &serde_json::Value| {
            Some((string(&of["state"])?, of["body"].as_str().unwrap_or_default().to_owned()))
        };
        let resource = |of: &serde_json::Value| {
            let instances = of["instances"].as_array()?.iter().map(instance).collect::<Option<_>>()?;
            Some(Resource { uri: string(&of["uri"])?, instances })
        };
        Some(Document {
            id: string(&value["id"])?,
            version: value["version"].as_u64()?,
            expires: Wall::from_rfc3339(value["expires"].as_str()?)?,
            ended: string(&value["ended"]),
            resources: value["resources"].as_array()?.iter().map(resource).collect::<Option<_>>()?,
        })
    }

    fn xml(text: &str) -> Option<Document> {
        let tree = roxmltree::Document::parse(text).ok()?;
        let named =
            |name: &'static str| tree.descendants().filter(move |node| node.tag_name().name() == name);
        let list = named("list").next()?;
        // All words of its body: texts and attributes.
        let words = |node: roxmltree::Node<'_, '_>| {
            let all = node.descendants().flat_map(|node| {
                node.attributes()
                    .map(|attribute| attribute.value().to_owned())
                    .chain(node.text().map(str::to_owned))
            });
            all.collect::<Vec<_>>().join(" ")
        };
        let instance =
            |node: roxmltree::Node<'_, '_>| Some((node.attribute("state")?.to_owned(), words(node)));
        let resource = |node: roxmltree::Node<'_, '_>| {
            let instances = node.children().filter(|node| node.tag_name().name() == "instance");
            let instances = instances.map(instance).collect::<Option<_>>()?;
            Some(Resource { uri: node.attribute("uri")?.to_owned(), instances })
        };
        let id = list.attribute("uri")?.strip_prefix("sip:")?.split('@').next()?;
        Some(Document {
            id: id.to_owned(),
            version: list.attribute("version")?.parse().ok()?,
            expires: Wall::from_rfc3339(named("expires").next_back()?.text()?)?,
            ended: tree.root_element().attribute("ended").map(str::to_owned),
            resources: named("resource").map(resource).collect::<Option<_>>()?,
        })
    }
}
