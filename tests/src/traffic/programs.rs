//! Three workspaces with two modes each, and their rules.

use anyhow::{Result, anyhow};
use sha2::{Digest, Sha256};

use super::Program;
use super::customer::Shop;

/// Their modes fall on all four partitions.
const WORKSPACES: [&str; 3] = ["acme", "corp", "dyno"];
const MODES: [&str; 2] = ["live", "test"];

/// The secret key of a mode.
fn key(workspace: &str, mode: &str) -> String {
    format!("dub_{workspace}_{mode}")
}

/// The program files.
pub fn all() -> Result<Vec<Program>> {
    WORKSPACES
        .iter()
        .enumerate()
        .map(|(index, workspace)| one(workspace, index))
        .collect()
}

/// A workspace with one of three sets of rules.
pub fn one(workspace: &str, index: usize) -> Result<Program> {
    let yaml = yaml(workspace, index);
    let file = tributary_domain::rules::parse(&yaml).map_err(|problems| anyhow!("{problems:?}"))?;
    Ok(Program {
        workspace: workspace.to_owned(),
        yaml,
        file,
    })
}

/// Every workspace × mode.
pub fn shops(programs: &[Program]) -> Vec<Shop> {
    let modes = |(index, program): (usize, &Program)| {
        let workspace = program.workspace.clone();
        MODES.map(|mode| Shop {
            program: index,
            live: mode == "live",
            key: key(&workspace, mode),
            tag: format!("{}{}", &workspace[..1], &mode[..1]),
            workspace: workspace.clone(),
        })
    };
    programs.iter().enumerate().flat_map(modes).collect()
}

fn yaml(workspace: &str, index: usize) -> String {
    let keys: String = MODES
        .iter()
        .map(|mode| {
            let hash = hex::encode(Sha256::digest(key(workspace, mode)));
            format!("    - {{name: {mode}, mode: {mode}, sha256: {hash}}}\n")
        })
        .collect();
    let precedence = ["click_first", "coupon_first", "latest_touch"][index % 3];
    let model = ["last_click", "first_click", "last_click"][index % 3];
    let percent = 10 + index;
    format!(
        "workspace:
  id: {workspace}
  currency: usd
  modes: [live, test]
  domains: [go.{workspace}.test]
  api_keys:
{keys}
programs:
  - id: main
    window_days: 60
    model: {model}
    coupon_precedence: {precedence}
    rewards:
      - {{id: gold, event: sale, percent: 40, products: [prod_gold]}}
      - {{id: base, event: sale, percent: {percent}.5}}
      - {{id: signup, event: lead, amount: 200}}
partners:
  - {{id: ada}}
  - {{id: bob, group: creators}}
  - {{id: cyd}}
  - {{id: eve, status: banned}}
links:
  - {{key: ada, url: \"https://{workspace}.test/?utm_source=ada\", partner: ada}}
  - {{key: bob, url: \"https://{workspace}.test/?utm_source=bob\", partner: bob}}
  - {{key: cyd, url: \"https://{workspace}.test/\", partner: cyd}}
  - {{key: eve, url: \"https://{workspace}.test/\", partner: eve}}
  - {{key: news, url: \"https://{workspace}.test/?utm_source=news\"}}
coupons:
  - {{code: SAVE20, partner: bob}}
  - {{code: PODCAST, partner: cyd, promotion_codes: [promo_listen]}}
"
    )
}
