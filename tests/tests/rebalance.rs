//! Exactly once while instances come, go and sleep: one to three and back under load, and zombies that wake after
//! their partitions were given away, in the stages and in the sink.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;
use tributary_domain::engine::Row;
use tributary_tests::pipeline::Pipeline;
use tributary_tests::pipeline::proof::{all_is_read, exactly_once};
use tributary_tests::pipeline::role::Role;
use tributary_tests::pipeline::send::send;
use tributary_tests::traffic::stripe::Payment;
use tributary_tests::traffic::{Traffic, webhook};

const EVENTS: usize = 9_000;
const SLICE: usize = 900;
const PATIENCE: Duration = Duration::from_secs(120);
const MONTH: i64 = 30 * 86_400;

/// A basil subscription whose account sends no `invoice_payment`: nothing ties invoice and charge together.
fn basil(traffic: &mut Traffic) {
    let payment = Payment {
        id: "basil",
        customer: "cus_basil",
        email: "basil@basil.test",
        at: 1_750_000_000,
        total: 4_900,
        tax: 0,
        currency: "usd",
        promotion: "",
        subscription: "sub_basil",
    };
    let events = [
        ("customer.created", payment.customer_object(json!({}))),
        ("checkout.session.completed", payment.session("", true)),
        ("payment_intent.succeeded", payment.intent()),
        ("charge.succeeded", payment.charge(false, Vec::new())),
        ("invoice.paid", payment.invoice(false, "subscription_create")),
    ];
    for (i, (kind, object)) in events.into_iter().enumerate() {
        let line = webhook(
            "acme",
            &format!("evt_basil_{i}"),
            kind,
            payment.at + MONTH,
            object,
        );
        let place = (i + 1) * traffic.lines.len() / 6;
        traffic.lines.insert(place, (0, line));
    }
}

fn sales_of_basil(rows: &[Row]) -> usize {
    let is =
        |row: &&Row| matches!(row, Row::Conversion(row) if row.kind == "sale" && row.customer == "cus_basil");
    rows.iter().filter(is).count()
}

/// The instances sleep until the others have processed a slice without them, then they wake while events flow.
async fn zombies(
    pipeline: &Pipeline,
    roles: [&Role; 2],
    slices: [&[(usize, tributary_domain::simulate::Line)]; 2],
) -> Result<()> {
    // While events flow: what sleeps has an open transaction or an insert under way as often as not.
    let (sent, frozen) = tokio::join!(send(&pipeline.edge, slices[0]), async {
        roles.iter().try_for_each(|role| role.signal("STOP"))
    });
    sent?;
    frozen?;
    // Nothing can be read to its end before the sleepers' partitions are given to others.
    all_is_read(pipeline, PATIENCE).await?;
    let (sent, woken) = tokio::join!(send(&pipeline.edge, slices[1]), async {
        roles.iter().try_for_each(|role| role.signal("CONT"))
    });
    sent?;
    woken
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_to_three_instances_and_back_with_zombies_the_ledger_is_the_simulations() -> Result<()> {
    let mut traffic = Traffic::new(2, EVENTS)?;
    basil(&mut traffic);
    let expected = traffic.expected()?;
    ensure!(
        sales_of_basil(&expected.rows) == 1,
        "{} sales",
        sales_of_basil(&expected.rows)
    );
    let pipeline = Pipeline::start("rebalance", &traffic).await?;
    let slices: Vec<_> = traffic.lines.chunks(SLICE).collect();
    let process = |n: u32| pipeline.role(&format!("process-{n}"), &["process"], &[]);
    let sink = |n: u32| pipeline.role(&format!("sink-{n}"), &["sink"], &[]);

    let ingest = pipeline.ingest().await?;
    let (process_1, sink_1) = (process(1)?, sink(1)?);
    send(&pipeline.edge, slices[0]).await?;
    let (process_2, sink_2) = (process(2)?, sink(2)?);
    let (process_3, sink_3) = (process(3)?, sink(3)?);
    send(&pipeline.edge, slices[1]).await?;
    all_is_read(&pipeline, PATIENCE).await?;
    zombies(&pipeline, [&process_2, &sink_2], [slices[2], slices[3]]).await?;
    zombies(&pipeline, [&process_1, &sink_1], [slices[4], slices[5]]).await?;
    let stop = tokio::task::spawn_blocking(move || {
        process_3.stop()?;
        sink_3.stop()?;
        process_2.stop()?;
        sink_2.stop()
    });
    for slice in &slices[6..] {
        send(&pipeline.edge, slice).await?;
    }
    stop.await??;
    let verdicts = exactly_once(&pipeline, &expected, PATIENCE).await?;
    eprintln!("{} entries are right; {verdicts:?}", expected.rows.len());
    let sales = "SELECT sum(sign) FROM conversions WHERE kind = 'sale' AND customer = 'cus_basil'";
    ensure!(
        pipeline.clickhouse()?.number(sales).await? == 1,
        "a basil subscription is one sale"
    );
    for role in [&ingest, &process_1, &sink_1] {
        ensure!(role.deaths().is_empty(), "{}: {:?}", role.name(), role.deaths());
    }
    pipeline.finish(vec![process_1, sink_1, ingest]).await
}
