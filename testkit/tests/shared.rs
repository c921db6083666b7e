//! Tests that crash nothing share one set of servers, whatever runtime each of them has.

use anyhow::{Result, ensure};
use tributary_testkit::{Endpoints, shared, unique};

#[tokio::test]
async fn one_test_makes_its_own_database() -> Result<()> {
    own_database(shared().await?).await
}

#[tokio::test]
async fn another_test_makes_another() -> Result<()> {
    own_database(shared().await?).await
}

async fn own_database(servers: &Endpoints) -> Result<()> {
    ensure!(servers == shared().await?, "everybody gets the same servers");
    let name = unique("shared");
    sql(servers, &format!("CREATE DATABASE {name} ENGINE = Atomic")).await?;
    sql(servers, &format!("DROP DATABASE {name}")).await?;
    let subjects = reqwest::get(format!("{}/subjects", servers.registry_url)).await?;
    ensure!(subjects.status().is_success(), "the registry answers");
    Ok(())
}

async fn sql(servers: &Endpoints, query: &str) -> Result<()> {
    let answer = reqwest::Client::new()
        .post(&servers.clickhouse_url)
        .body(query.to_owned())
        .send()
        .await?;
    ensure!(answer.status().is_success(), "{query}: {}", answer.text().await?);
    Ok(())
}
