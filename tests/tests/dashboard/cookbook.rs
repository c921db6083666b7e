//! Every statement of docs/cookbook.md runs, and its totals are those of the raw ledger.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::fixture::{STANDING, fixture};

const COOKBOOK: &str = include_str!("../../../docs/cookbook.md");
const FROM: &str = "2025-01-01 00:00:00";
const TO: &str = "2025-04-15 00:00:00";

/// The statements by their questions.
fn statements() -> BTreeMap<&'static str, &'static str> {
    let sections = COOKBOOK.split("\n### ").skip(1);
    sections
        .map(|section| {
            let (question, rest) = section.split_once('\n').unwrap();
            let (_, statement) = rest.split_once("```sql\n").expect(question);
            let (statement, rest) = statement.split_once("```").unwrap();
            assert!(!rest.contains("```sql"), "{question} has two statements");
            (question, statement)
        })
        .collect()
}

fn rows(statement: &str) -> Vec<Value> {
    let answer = fixture().sql_with(
        &format!("{statement} FORMAT JSONEachRow SETTINGS output_format_json_quote_64bit_integers = 0"),
        &[
            ("workspace", "ws_acme"),
            ("mode", "live"),
            ("from", FROM),
            ("to", TO),
        ],
    );
    answer
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn every_statement_of_the_cookbook_answers() {
    let statements = statements();
    assert!(statements.len() >= 20, "{}", statements.len());
    for (question, statement) in statements {
        assert!(!rows(statement).is_empty(), "{question} has no row");
    }
}

#[test]
fn totals_of_the_cookbook_are_those_of_the_raw_ledger() {
    let statements = statements();
    let raw = |what: &str, condition: &str| -> i64 {
        let question = format!(
            "SELECT {what} FROM {STANDING} WHERE mode = 'live' AND kind = 'sale' AND at >= '{FROM}' AND at < '{TO}' \
             AND {condition}"
        );
        fixture().sql(&question).parse().unwrap()
    };
    for (question, column, what, condition) in [
        (
            "What did each partner bring, by month?",
            "revenue",
            "sum(amount)",
            "partner_id != ''",
        ),
        (
            "What did each partner bring, by month?",
            "sales",
            "count()",
            "partner_id != ''",
        ),
        ("New customers or renewals?", "revenue", "sum(amount)", "1"),
        (
            "Did the coupon decide, or the link?",
            "revenue",
            "sum(amount)",
            "attributed_by != 'none'",
        ),
        (
            "What do we sell through partners, by product?",
            "revenue",
            "sum(amount)",
            "partner_id != ''",
        ),
        (
            "In which currencies did they pay?",
            "converted",
            "sum(amount)",
            "1",
        ),
        (
            "What did nobody earn, and why?",
            "revenue",
            "sum(amount)",
            "attributed_by = 'none'",
        ),
        ("At what hour of the week do people buy?", "sales", "count()", "1"),
        (
            "Which links are worth their clicks?",
            "revenue",
            "sum(amount)",
            "click_id != ''",
        ),
        (
            "What part of the revenue goes to partners?",
            "revenue",
            "sum(amount)",
            "partner_id != ''",
        ),
        ("Which products come back?", "revenue", "sum(amount)", "1"),
    ] {
        let sum: i64 = rows(statements[question])
            .iter()
            .map(|row| row[column].as_i64().unwrap())
            .sum();
        let expected = raw(what, condition);
        assert!(expected > 50, "{question}: the seed is too thin");
        assert_eq!(sum, expected, "{question} {column}");
    }
    // Whoever bought, by the month of the first sale: nothing is lost between the two.
    let all = fixture().sql(&format!(
        "WITH new AS (SELECT customer FROM {STANDING} WHERE mode = 'live' AND kind = 'sale' GROUP BY customer
            HAVING min(at) >= '{FROM}' AND min(at) < '{TO}')
         SELECT (SELECT sum(amount) FROM {STANDING} WHERE mode = 'live' AND kind = 'sale' AND customer IN new)
            - (SELECT sum(sign * amount) FROM refunds WHERE mode = 'live' AND customer IN new)"
    ));
    let net: i64 = rows(statements["What is a customer worth, months after the first sale?"])
        .iter()
        .map(|row| row["net"].as_i64().unwrap())
        .sum();
    assert_eq!(net.to_string(), all);
}
