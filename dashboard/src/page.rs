//! The pages for people, embedded: no build step, nothing fetched from elsewhere.
//!
//! ```text
//!   shell.html (head, navigation, frame) + a page's own part ─► its document, made once at the start
//! ```
//!
//! A page's part is what stands among the controls, a line `<!-- main -->`, and what the frame holds; a list of the API
//! needs the first half only. Invariant: the content security policy allows this origin only, so text from the ledger
//! can run nothing.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::RawQuery;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::server::Application;

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
                      base-uri 'none'; form-action 'self'; frame-ancestors 'self'";

const SHELL: &str = include_str!("page/shell.html");
const LIST: &str = include_str!("page/list.html");
/// Between a page's controls and what its frame holds.
const MAIN: &str = "<!-- main -->";

/// One page: where it is, what it is called, where its data comes from, and its own part.
struct Page {
    path: &'static str,
    name: &'static str,
    script: &'static str,
    /// The operation that answers the same as data.
    data: &'static str,
    part: &'static str,
    /// A line drawing on 16 by 16.
    icon: &'static str,
}

/// A heading of the navigation and its pages.
type Group = (&'static str, &'static [Page]);

const GROUPS: [Group; 4] = [
    (
        "",
        &[
            Page {
                path: "/",
                name: "Overview",
                script: "app.js",
                data: "/overview",
                part: include_str!("page/index.html"),
                icon: "M2 13V8m4 5V4m4 9V7m4 6V2",
            },
            Page {
                path: "/live",
                name: "Live",
                script: "live.js",
                data: "/events/stream",
                part: include_str!("page/live.html"),
                icon: "M1 8h3l2-5 3 10 2-5h4",
            },
        ],
    ),
    (
        "Partners",
        &[
            Page {
                path: "/pages/links",
                name: "Links",
                script: "links.js",
                data: "/links/figures",
                part: include_str!("page/links.html"),
                icon: "M7 9l2-2M6 6L4 8a2.5 2.5 0 0 0 4 4l1-1m1-1l2-2a2.5 2.5 0 0 0-4-4L7 5",
            },
            Page {
                path: "/pages/partners",
                name: "Partners",
                script: "partners.js",
                data: "/partners/figures",
                part: include_str!("page/partners.html"),
                icon: "M6 7a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5zm-5 7c0-3 2-5 5-5s5 2 5 5M11 2.500a2.500 2.500 0 0 1 0 4.500m2 7c0-2-.5-3-1.500-4",
            },
            Page {
                path: "/pages/coupons",
                name: "Coupons",
                script: "coupons.js",
                data: "/coupons",
                part: include_str!("page/coupons.html"),
                icon: "M1.500 4h13v2.500a1.500 1.500 0 0 0 0 3V12h-13V9.500a1.500 1.500 0 0 0 0-3zM9 5v1m0 1.500v1M9 10v1",
            },
            Page {
                path: "/pages/programs",
                name: "Programs",
                script: "programs.js",
                data: "/programs",
                part: include_str!("page/programs.html"),
                icon: "M3 1.500h7l3 3v10H3zM5.500 7h5m-5 2.500h5m-5 2.500h3",
            },
        ],
    ),
    (
        "Revenue",
        &[
            Page {
                path: "/pages/conversions",
                name: "Conversions",
                script: "conversions.js",
                data: "/conversions",
                part: include_str!("page/conversions.html"),
                icon: "M2 2h12l-4.500 6v5l-3 1.500V8z",
            },
            Page {
                path: "/people",
                name: "Customers",
                script: "customers.js",
                data: "/customers",
                part: include_str!("page/customers.html"),
                icon: "M8 8a3 3 0 1 0 0-6 3 3 0 0 0 0 6zm-6 6.500c0-3 2.500-5 6-5s6 2 6 5",
            },
            Page {
                path: "/pages/payments",
                name: "Payments",
                script: "payments.js",
                data: "/events?event=sales",
                part: include_str!("page/payments.html"),
                icon: "M1.500 3.500h13v9h-13zM1.500 6.500h13M4 10h3",
            },
            Page {
                path: "/earnings",
                name: "Commissions",
                script: "commissions.js",
                data: "/commissions",
                part: include_str!("page/commissions.html"),
                icon: "M8 1.500v13M11.500 4.500C11 3.500 9.500 3 8 3c-2 0-3.500 1-3.500 2.500S6 7.700 8 8s3.500 1 3.500 2.500S10 13 8 13c-1.500 0-3-.5-3.500-1.500",
            },
        ],
    ),
    (
        "Operation",
        &[
            Page {
                path: "/pages/connections",
                name: "Stripe",
                script: "connections.js",
                data: "/connections",
                part: include_str!("page/connections.html"),
                icon: "M5 1.500v3.500m6-3.500v3.500M3 5h10v3a5 5 0 0 1-10 0zM8 13v2",
            },
            Page {
                path: "/pages/pipeline",
                name: "Pipeline",
                script: "pipeline.js",
                data: "/pipeline",
                part: include_str!("page/pipeline.html"),
                icon: "M3.500 5.500a2 2 0 1 0 0-4 2 2 0 0 0 0 4zm9 9a2 2 0 1 0 0-4 2 2 0 0 0 0 4zM3.500 5.500v4a3 3 0 0 0 3 3h4",
            },
        ],
    ),
];

const SCRIPTS: [(&str, &str); 19] = [
    ("app.js", include_str!("page/app.js")),
    ("chart.js", include_str!("page/chart.js")),
    ("commissions.js", include_str!("page/commissions.js")),
    ("common.js", include_str!("page/common.js")),
    ("connections.js", include_str!("page/connections.js")),
    ("conversions.js", include_str!("page/conversions.js")),
    ("coupons.js", include_str!("page/coupons.js")),
    ("customers.js", include_str!("page/customers.js")),
    ("format.js", include_str!("page/format.js")),
    ("links.js", include_str!("page/links.js")),
    ("listing.js", include_str!("page/listing.js")),
    ("live.js", include_str!("page/live.js")),
    ("page.js", include_str!("page/page.js")),
    ("panels.js", include_str!("page/panels.js")),
    ("partners.js", include_str!("page/partners.js")),
    ("payments.js", include_str!("page/payments.js")),
    ("pipeline.js", include_str!("page/pipeline.js")),
    ("programs.js", include_str!("page/programs.js")),
    ("words.js", include_str!("page/words.js")),
];

pub fn router() -> Router<Application> {
    let style = File::new("text/css; charset=utf-8", include_str!("page/style.css"));
    let icon = File::new("image/svg+xml", include_str!("page/icon.svg"));
    let mut router = Router::new()
        .route("/assets/style.css", get(move |headers| style.serve(headers)))
        .route("/assets/icon.svg", get(move |headers| icon.serve(headers)));
    for (name, text) in SCRIPTS {
        let file = File::new("text/javascript; charset=utf-8", text);
        router = router.route(
            &format!("/assets/{name}"),
            get(move |headers| file.serve(headers)),
        );
    }
    for page in GROUPS.iter().flat_map(|(_, pages)| *pages) {
        let document = |class| File::new("text/html; charset=utf-8", page.document(class));
        let (whole, panel) = (document(""), document("panel"));
        let answer = move |RawQuery(query): RawQuery, headers| {
            let asked = query.unwrap_or_default();
            let file = if asked.split('&').any(|pair| pair == "panel=1") {
                &panel
            } else {
                &whole
            };
            file.serve(headers)
        };
        router = router.route(page.path, get(answer));
    }
    router
}

impl Page {
    /// `class`: of the body; `panel` leaves the navigation out, for a narrow frame in somebody else's page.
    fn document(&self, class: &str) -> String {
        let (controls, main) = self.part.split_once(MAIN).unwrap_or((self.part, ""));
        let main = if main.trim().is_empty() { LIST } else { main };
        // The title comes last: a page's own part may name it.
        SHELL
            .replace("{class}", class)
            .replace("{nav}", &navigation(self.path))
            .replace("{controls}", controls.trim())
            .replace("{main}", main.trim())
            .replace("{script}", self.script)
            .replace("{data}", self.data)
            .replace("{title}", self.name)
    }
}

fn navigation(current: &str) -> String {
    let mut html = String::new();
    for (heading, pages) in GROUPS {
        html.push_str(&match heading {
            "" => "<ul>".to_owned(),
            heading => format!("<p>{heading}</p><ul aria-label=\"{heading}\">"),
        });
        for Page { path, name, icon, .. } in pages {
            let here = if *path == current {
                " aria-current=\"page\""
            } else {
                ""
            };
            html.push_str(&format!(
                "<li><a href=\"{path}\"{here}><svg viewBox=\"0 0 16 16\" aria-hidden=\"true\"><path d=\"{icon}\"/></svg>{name}</a></li>"
            ));
        }
        html.push_str("</ul>");
    }
    html
}

/// What is answered at one path. Cheap to clone.
#[derive(Clone)]
struct File {
    content_type: &'static str,
    body: Bytes,
    tag: Arc<str>,
}

impl File {
    fn new(content_type: &'static str, text: impl Into<Bytes>) -> Self {
        let body: Bytes = text.into();
        let mut hasher = DefaultHasher::new();
        body.hash(&mut hasher);
        Self {
            content_type,
            body,
            tag: format!("\"{:016x}\"", hasher.finish()).into(),
        }
    }

    fn serve(&self, headers: HeaderMap) -> std::future::Ready<Response> {
        std::future::ready(self.answer(&headers))
    }

    fn answer(&self, headers: &HeaderMap) -> Response {
        let tag = [(ETAG, self.tag.to_string())];
        if headers
            .get(IF_NONE_MATCH)
            .is_some_and(|known| known.as_bytes() == self.tag.as_bytes())
        {
            return (StatusCode::NOT_MODIFIED, tag).into_response();
        }
        let fixed = [
            (CONTENT_TYPE, self.content_type),
            (CACHE_CONTROL, "no-cache"),
            (CONTENT_SECURITY_POLICY, POLICY),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (REFERRER_POLICY, "no-referrer"),
        ];
        (fixed, tag, self.body.clone()).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_is_whole() {
        for page in GROUPS.iter().flat_map(|(_, pages)| *pages) {
            let document = page.document("");
            for left in [
                "{title}",
                "{main}",
                "{nav}",
                "{controls}",
                "{script}",
                "{data}",
                "{class}",
            ] {
                assert!(!document.contains(left), "{left} in {}", page.path);
            }
            assert_eq!(document.matches("aria-current").count(), 1, "{}", page.path);
            assert!(
                SCRIPTS.iter().any(|(name, _)| *name == page.script),
                "{}",
                page.script
            );
        }
    }
}
