//! Pages that ask: a browser names the origin of the page in `Origin`, and a page of another host may ask only if the
//! dialect's settings list it, where they have such a list. Who sends no `Origin` is no page.

use crate::dialect::problem::problem;
use crate::ground::config::Config;
use crate::hub::Hub;
use crate::wire::http::head::Head;
use crate::wire::http::reply::{Fields, Reply};

/// Why a page may not ask, if so. `section` is where its origin could be listed, such as `native`, and `allowed` the
/// list there.
pub fn origin(
    hub: &mut Hub,
    head: &Head<'_>,
    section: &str,
    allowed: impl Fn(&Config) -> &[String],
) -> Option<Reply> {
    let origin = head.field("origin")?;
    if is_own(origin, head) || is_listed(origin, allowed(&hub.config)) {
        return None;
    }
    let text =
        format!("its origin {origin} is not listed; [{section}] allowed_origins = [\"{origin}\"] admits it");
    hub.give_reason(None, text);
    Some(problem(403, &format!("this origin is not among [{section}] allowed_origins")))
}

/// Why a page may not ask where no setting lists any, if so: those of this very host may.
pub fn own_origin(hub: &mut Hub, head: &Head<'_>) -> Option<Reply> {
    let origin = head.field("origin").filter(|origin| !is_own(origin, head))?;
    hub.give_reason(None, format!("its origin {origin} is another host's, whose pages may not ask here"));
    Some(problem(403, "pages of other origins may not ask here"))
}

/// What lets a page of a listed origin read the answer (the Fetch standard's CORS protocol).
#[must_use]
pub fn cors_fields(hub: &Hub, head: &Head<'_>) -> Fields {
    match head.field("origin") {
        Some(origin) if is_listed(origin, &hub.config.native.allowed_origins) => {
            vec![("Access-Control-Allow-Origin", origin.to_owned()), ("Vary", "Origin".to_owned())]
        }
        Some(_) | None => Vec::new(),
    }
}

/// An answer that such a page may read.
#[must_use]
pub fn with_cors(hub: &Hub, head: &Head<'_>, mut reply: Reply) -> Reply {
    reply.fields.extend(cors_fields(hub, head));
    reply
}

/// A page of this very host.
fn is_own(origin: &str, head: &Head<'_>) -> bool {
    head.host.is_some_and(|host| origin.split_once("://").is_some_and(|(_, o)| o.eq_ignore_ascii_case(host)))
}

fn is_listed(origin: &str, allowed: &[String]) -> bool {
    allowed.iter().any(|allowed| allowed == origin)
}
