//! The document is whole: every route of the code is in it, and it refers to nothing that is not there.

use std::collections::BTreeSet;

use super::*;
use crate::database::{ClickHouseConfig, Database};
use crate::server::MetricsText;

fn described() -> Value {
    describe(&Application {
        database: Database::new(&ClickHouseConfig::default()),
        metrics: MetricsText::default(),
        management: None,
        live: None,
        pipeline: None,
    })
}

/// `METHOD path` of all operations.
fn known() -> BTreeSet<String> {
    OPERATIONS
        .iter()
        .map(|operation| format!("{} {}", operation.method, operation.path))
        .collect()
}

#[test]
fn every_route_of_this_process_is_in_it() {
    let known = known();
    let source = include_str!("../routes.rs");
    let mut count = 0;
    for rest in source.split(".route(\"").skip(1) {
        let path = rest.split('"').next().unwrap();
        let described = ["GET", "POST"].map(|method| known.contains(&format!("{method} {path}")));
        assert!(described.contains(&true), "{path} is not described");
        count += 1;
    }
    assert!(count > 10, "the routes were not found");
}

/// Arms like `("PATCH" | "PUT", ["links", id])`.
#[test]
fn everything_that_is_managed_is_in_it() {
    let known = known();
    let source = include_str!("../../../domain/src/manage/mod.rs");
    let arms = source.split("match (request.method, segments.as_slice()) {");
    let mut arms = arms.skip(1);
    let arms = arms.next().unwrap().split("(method, _) =>").next().unwrap();
    let mut count = 0;
    for arm in arms.split("\n        (\"").skip(1) {
        let (methods, rest) = arm.split_once(", [").unwrap();
        let segments = rest.split(']').next().unwrap().split(", ");
        let path: String = segments
            .map(|segment| match segment.trim_matches('"') {
                "id" => "/{id}".to_owned(),
                name => format!("/{name}"),
            })
            .collect();
        for method in methods.split(" | ").map(|method| method.trim_matches('"')) {
            assert!(known.contains(&format!("{method} {path}")), "{method} {path}");
            count += 1;
        }
    }
    assert!(count > 12, "the operations were not found");
}

#[test]
fn every_call_of_the_edge_is_in_it() {
    let paths: BTreeSet<&str> = OPERATIONS.iter().map(|operation| operation.path).collect();
    let source = include_str!("../../../domain/src/requests/mod.rs");
    let of = source.split("pub fn of(method").nth(1).unwrap();
    let of = of.split("/// The largest body").next().unwrap();
    let mut count = 0;
    for literal in of
        .split('"')
        .filter(|text| text.starts_with('/') && text.len() > 1)
    {
        let path = match literal {
            "/commissions/" => "/commissions/{id}",
            "/webhooks/stripe/" => "/webhooks/stripe/{workspace}",
            path => path,
        };
        assert!(paths.contains(path), "{path} is not described");
        count += 1;
    }
    assert!(count > 12, "the calls were not found");
}

#[test]
fn it_is_well_formed() {
    let document = described();
    assert_eq!(document["openapi"], "3.1.0");
    let mut ids = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        assert!(path.starts_with('/'));
        for (method, operation) in methods.as_object().unwrap() {
            let place = format!("{method} {path}");
            assert!(["get", "post", "put", "patch", "delete"].contains(&method.as_str()));
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id.to_owned()), "{id} is there twice");
            assert!(!operation["responses"].as_object().unwrap().is_empty());
            let mut names = BTreeSet::new();
            for parameter in operation["parameters"].as_array().unwrap() {
                let name = parameter["name"].as_str().unwrap();
                assert!(
                    names.insert((name, parameter["in"].as_str().unwrap())),
                    "{place}: {name} twice"
                );
                assert!(parameter["schema"]["type"].is_string(), "{place}: {name}");
                let in_path = path.contains(&format!("{{{name}}}"));
                assert_eq!(parameter["in"] == "path", in_path, "{place}: {name}");
            }
            for part in path.split('/').filter_map(|part| part.strip_prefix('{')) {
                let name = part.trim_end_matches('}');
                assert!(names.contains(&(name, "path")), "{place}: {name}");
            }
            for (status, response) in operation["responses"].as_object().unwrap() {
                assert!(response["description"].is_string(), "{place} {status}");
            }
        }
    }
    let text = document.to_string();
    for reference in text.split("\"$ref\":\"#").skip(1) {
        let pointer = reference.split('"').next().unwrap();
        assert!(document.pointer(pointer).is_some(), "{pointer} leads nowhere");
    }
    let analytics = &document["paths"]["/analytics"]["get"];
    assert_eq!(analytics["x-token-scope"], "analytics.read");
    assert!(analytics["parameters"].to_string().contains("utm_campaigns"));
    assert_eq!(
        document["components"]["schemas"]["Link"]["properties"]["shortLink"]["type"],
        "string"
    );
}
