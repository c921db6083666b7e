//! Requests about links and partners, and their answers.

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tributary_domain::manage::{self, Task};
use tributary_domain::requests::{ApiError, Code, KeyOwner, Request};

use super::{Management, figures};
use crate::server::Application;

/// Largest body: a hundred links.
pub(crate) const BODY_LIMIT: usize = 1024 * 1024;

/// Links and partners.
pub(crate) async fn handle(
    State(application): State<Application>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Some(management) = application.management.clone() else {
        return crate::error::ApiError::NotOffered(format!("{} needs Kafka", uri.path())).into_response();
    };
    match answer(&management, &application, (method, uri, headers), body).await {
        Ok(answer) => (
            StatusCode::from_u16(answer.status).unwrap_or_default(),
            axum::Json(answer.body),
        )
            .into_response(),
        Err(error) => refused(&error),
    }
}

async fn answer(
    management: &Management,
    application: &Application,
    (method, uri, headers): (Method, Uri, HeaderMap),
    body: Bytes,
) -> Result<manage::Answer, ApiError> {
    let shared = &management.shared;
    if !management.is_loaded() {
        return Err(ApiError::unavailable(
            "starting: what is declared is not read yet",
        ));
    }
    let mut chance = Chance::default();
    let (caller, task) = {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let request = Request {
            method: method.as_str(),
            path: uri.path(),
            query: uri.query(),
            host: "",
            header: &header,
            body: &body,
            remote_ip: None,
            place: &|_| tributary_domain::requests::Place::default(),
        };
        let view = shared.view();
        let caller = view
            .catalog
            .caller(header("authorization"), method.as_str(), uri.path())?;
        let task = manage::task(&request, &view.catalog, &caller, &mut || chance.draw())?;
        (caller, task)
    };
    let claimant = chance.draw();
    if chance.failed {
        return Err(ApiError::unavailable("the system gives no random numbers"));
    }
    let mut answer = match task {
        Task::Answer(answer) => answer,
        Task::Write(write) => {
            // A task of its own: a client that hangs up must not leave half of it.
            let shared = std::sync::Arc::clone(shared);
            let done = tokio::spawn(async move { shared.write(&write, claimant).await });
            done.await
                .map_err(|_| ApiError::unavailable("the change ended early"))??
        }
    };
    figures::add(&mut answer.body, &caller, &application.database).await;
    Ok(answer)
}

/// Reading with a key: the workspace, the mode and the partner are the key's, whatever the query says.
pub(crate) async fn scope(
    State(application): State<Application>,
    mut request: axum::extract::Request,
    next: Next,
) -> Response {
    let Some(management) = &application.management else {
        return next.run(request).await;
    };
    if !request.headers().contains_key(header::AUTHORIZATION) {
        return next.run(request).await;
    }
    if !management.is_loaded() {
        return crate::error::ApiError::Starting.into_response();
    }
    let caller = {
        let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
        let (method, path) = (request.method().as_str(), request.uri().path());
        let view = management.shared.view();
        let caller = view.catalog.caller(header("authorization"), method, path);
        caller.and_then(|caller| own_only(request.uri(), &caller).map(|()| caller))
    };
    let caller = match caller {
        Ok(caller) => caller,
        Err(error) => return refused(&error),
    };
    match scoped(request.uri(), &caller) {
        Some(uri) => *request.uri_mut() = uri,
        None => return StatusCode::BAD_REQUEST.into_response(),
    }
    let response = next.run(request).await;
    if caller.partner.is_empty() {
        response
    } else {
        crate::privacy::mask(response).await
    }
}

/// Tells a partner that it asks for what is not its own. Were it asked in other words, the scope's condition would leave
/// nothing of it.
fn own_only(uri: &Uri, caller: &KeyOwner) -> Result<(), ApiError> {
    if caller.partner.is_empty() {
        return Ok(());
    }
    for pair in uri.query().unwrap_or_default().split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let others = match name {
            "partnerId" => !value.is_empty() && value != encoded(&caller.partner),
            "attribution" => !matches!(value, "" | "attributed"),
            _ => false,
        };
        if others {
            let reason = format!("{name}: the token of a partner reads what is this partner's");
            return Err(ApiError::new(Code::Forbidden, reason));
        }
    }
    Ok(())
}

fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn scoped(uri: &Uri, caller: &KeyOwner) -> Option<Uri> {
    let own = |pair: &&str| !matches!(pair.split('=').next(), Some("workspace" | "mode" | "ownPartner"));
    let rest: Vec<&str> = uri
        .query()
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.is_empty())
        .collect();
    let rest: Vec<&str> = rest.into_iter().filter(own).collect();
    let mut scope = format!("workspace={}&mode={}", caller.workspace, caller.mode);
    if !caller.partner.is_empty() {
        scope.push_str("&ownPartner=");
        scope.push_str(&encoded(&caller.partner));
    }
    let query = rest
        .into_iter()
        .chain([scope.as_str()])
        .collect::<Vec<_>>()
        .join("&");
    format!("{}?{query}", uri.path()).parse().ok()
}

/// Random numbers of the system.
#[derive(Default)]
struct Chance {
    failed: bool,
}

impl Chance {
    fn draw(&mut self) -> u64 {
        getrandom::u64().unwrap_or_else(|error| {
            tracing::error!(%error, "no random number");
            self.failed = true;
            0
        })
    }
}

fn refused(error: &ApiError) -> Response {
    let told = error.response();
    let mut response = Response::new(Body::from(told.body));
    *response.status_mut() = StatusCode::from_u16(told.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(seconds) = error.retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_its_own_workspace_whatever_the_query_says() {
        let mut caller = KeyOwner {
            workspace: "acme".into(),
            mode: "test".into(),
            partner: String::new(),
        };
        let own = |uri: &str| scoped(&uri.parse().unwrap(), &caller).unwrap().to_string();
        assert_eq!(own("/funnel"), "/funnel?workspace=acme&mode=test");
        assert_eq!(
            own("/analytics?event=sales&workspace=other&mode=live"),
            "/analytics?event=sales&workspace=acme&mode=test"
        );
        // Another way to write the name: it is given twice then, which is refused.
        assert_eq!(
            own("/funnel?w%6Frkspace=x"),
            "/funnel?w%6Frkspace=x&workspace=acme&mode=test"
        );
        caller.partner = "a&b=c".into();
        assert_eq!(
            scoped(&"/funnel?ownPartner=other".parse().unwrap(), &caller).unwrap(),
            "/funnel?workspace=acme&mode=test&ownPartner=a%26b%3Dc"
        );
        let refused = |uri: &str| own_only(&uri.parse().unwrap(), &caller).is_err();
        assert!(refused("/events?partnerId=a") && refused("/events?attribution=all"));
        assert!(!refused("/events?partnerId=a%26b%3Dc&attribution=attributed"));
    }
}
