//! Each question of the provisioned Grafana dashboards is answered by ClickHouse, by the primary key.

use std::path::Path;

use serde_json::Value;

use crate::fixture::fixture;

/// What the macros of the data source become for a dashboard of February 2025 with points of an hour.
fn without_macros(statement: &str) -> String {
    let replaced = |text: &str, name: &str, written: &dyn Fn(&str) -> String| -> String {
        let call = format!("$__{name}(");
        let mut parts = text.split(&call);
        let mut out = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (column, rest) = part.split_once(')').unwrap();
            out.push_str(&written(column));
            out.push_str(rest);
        }
        out
    };
    let statement = replaced(statement, "timeFilter", &|column| {
        format!("{column} >= toDateTime(1738368000) AND {column} <= toDateTime(1740787200)")
    });
    let statement = replaced(&statement, "timeInterval", &|column| {
        format!("toStartOfInterval(toDateTime({column}), INTERVAL 3600 second)")
    });
    let statement = statement
        .replace("${workspace}", "ws_acme")
        .replace("${mode}", "live");
    assert!(!statement.contains('$'), "an unknown macro: {statement}");
    statement
}

fn dashboards() -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/grafana/dashboards");
    let files = std::fs::read_dir(folder).unwrap();
    files
        .map(|file| serde_json::from_str(&std::fs::read_to_string(file.unwrap().path()).unwrap()).unwrap())
        .collect()
}

#[test]
fn every_panel_of_grafana_answers_by_the_primary_key() {
    let mut panels = 0;
    for dashboard in dashboards() {
        for variable in dashboard["templating"]["list"].as_array().unwrap() {
            let values = fixture().sql(variable["query"].as_str().unwrap());
            assert!(!values.is_empty(), "{}", variable["name"]);
        }
        for panel in dashboard["panels"].as_array().unwrap() {
            for target in panel["targets"].as_array().unwrap() {
                let statement = without_macros(target["rawSql"].as_str().unwrap());
                let title = &panel["title"];
                assert!(!fixture().sql(&statement).is_empty(), "{title} shows nothing");
                let plan = fixture().sql(&format!("EXPLAIN indexes = 1 {statement}"));
                let reads = plan.matches("ReadFromMergeTree").count();
                let bounded = plan
                    .lines()
                    .filter(|line| {
                        line.contains("Condition:") && line.contains("ws_acme") && line.contains("1738368000")
                    })
                    .count();
                assert!(
                    reads > 0 && bounded == reads,
                    "{title} reads more than it shows:\n{plan}"
                );
                panels += 1;
            }
        }
    }
    assert!(panels >= 11, "{panels}");
}
