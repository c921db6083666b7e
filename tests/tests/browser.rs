//! Real sites against the edge: Chromium on the example shop, on pages with `@dub/analytics` and with Trackdesk's snippets,
//! and the SDKs `dub` of npm and PyPI. What they did must stand in ClickHouse. The stories are in `tests/browser/run.mjs`.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tributary_testkit::{eventually, free_port};
use tributary_tests::chromium::chromium;
use tributary_tests::pipeline::Pipeline;

const PATIENCE: Duration = Duration::from_secs(60);
/// What partners earn by the stories: workspace, what for, its object, who, whether it waits and why, how much.
const EARNED: &str = "\
acme\tlead\tbrowser:lead:ext:u_page/sign up\tada\twithheld\tclient_side\t100
acme\tlead\tlead:ext:u_node/sign up\tada\tpending\t\t100
acme\tlead\tlead:ext:u_python/sign up\tada\tpending\t\t100
acme\tsale\tbrowser:sale:page-1\tada\twithheld\tclient_side\t200
acme\tsale\tbrowser:sale:trackdesk-1\tada\twithheld\tclient_side\t400
acme\tsale\tsale:node-1\tada\tpending\t\t1000
acme\tsale\tsale:python-1\tada\tpending\t\t400
shop\tlead\tlead:ext:ID/sign up\tada\tpending\t\t100
shop\tsale\tcs:cs_live_ID\tada\tpending\t\t980";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Declares the workspaces of the sites, whose links lead to ports of this run.
fn apply(pipeline: &Pipeline, sites: u16, shop: u16) -> Result<()> {
    let read = |path: &str| std::fs::read_to_string(root().join(path)).with_context(|| path.to_owned());
    let of_sites = read("tests/browser/acme.yaml")?.replace("SITES", &sites.to_string());
    let of_shop = read("examples/shop/program.yaml")?
        .replace("http://localhost:3000/", &format!("http://www.shop.test:{shop}/"))
        .replace("domains: [localhost]", "domains: [go.shop.test]")
        .replace(
            "allowed_hostnames: [localhost]",
            "allowed_hostnames: [www.shop.test]",
        );
    for (name, program) in [("acme", of_sites), ("shop", of_shop)] {
        let file = pipeline.dir().join(format!("{name}.yaml"));
        std::fs::write(&file, program)?;
        pipeline.run(&["apply", "--file", &file.to_string_lossy()])?;
    }
    // As the shop's Stripe signs.
    let secrets = pipeline.dir().join("secrets/shop");
    std::fs::create_dir_all(&secrets)?;
    Ok(std::fs::write(secrets.join("stripe"), "whsec_shop")?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sites_and_sdks_work_with_another_host_name_only() -> Result<()> {
    let python = root().join("target/python");
    for dir in [
        "tests/node_modules",
        "examples/shop/node_modules",
        "target/python",
    ] {
        ensure!(
            root().join(dir).is_dir(),
            "{dir} is missing: run scripts/install-test-packages"
        );
    }
    let (sites, shop) = (free_port()?, free_port()?);
    let pipeline = Pipeline::servers("browser").await?;
    pipeline.run(&["init"])?;
    apply(&pipeline, sites, shop)?;
    let roles = vec![
        pipeline.ingest().await?,
        pipeline.role("process", &["process"], &[])?,
        pipeline.role("sink", &["sink"], &[])?,
    ];

    let output = Command::new("node")
        .arg("run.mjs")
        .current_dir(root().join("tests/browser"))
        .env("EDGE", &pipeline.edge)
        .env("SITES_PORT", sites.to_string())
        .env("SHOP_PORT", shop.to_string())
        .env("CHROMIUM", chromium()?)
        .env("PYTHONPATH", python)
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{said}{errors}");
    ensure!(said.lines().count() >= 8, "too few stories: {said}");

    let clickhouse = pipeline.clickhouse()?;
    // The shop and its Stripe make IDs of their own.
    let sql = "SELECT workspace, kind, replaceRegexpAll(object, '[0-9a-f-]{32,36}', 'ID') AS what, partner_id, \
               state, reason, sum(sign * amount) AS earned FROM commissions GROUP BY ALL HAVING earned != 0 \
               ORDER BY workspace, kind, what FORMAT TSV";
    let earned = RefCell::new(String::new());
    eventually("what partners earn", PATIENCE, || async {
        let text = clickhouse.text(sql).await?;
        let there = text.trim_end() == EARNED;
        earned.replace(text);
        ensure!(there, "another ledger");
        Ok(())
    })
    .await
    .with_context(|| format!("{}\ninstead of\n{EARNED}", earned.borrow()))?;
    let visits = "SELECT count() FROM clicks WHERE key = '_root'";
    ensure!(clickhouse.number(visits).await? == 1, "one visit");
    pipeline.finish(roles).await
}
