//! The command line: names, flags and what `--help` says.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use tributary_processors::StageName;

/// Which click, link, partner or coupon earned a payment, and what of it was taken back.
#[derive(Debug, Parser)]
#[command(name = "tributary", version, propagate_version = true, max_term_width = 100)]
pub struct Cli {
    /// Settings file; defaults < this file < TRIBUTARY_* environment (TRIBUTARY_KAFKA__BOOTSTRAP=...) < flags.
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What to log, e.g. info,tributary_ingest=debug.
    #[arg(long, global = true, value_name = "FILTER", env = "TRIBUTARY_LOG")]
    pub log: Option<String>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// The whole pipeline on this machine: Kafka, registry, ClickHouse and every role, until Ctrl-C.
    Dev(Dev),
    /// The edge: redirects, tracking calls and Stripe webhooks into Kafka.
    Ingest,
    /// The stages: facts from what was received, the ledger from the facts.
    Process {
        /// Stages to run here, comma-separated.
        #[arg(long, value_delimiter = ',', default_value = "normalize,join,attribute")]
        stage: Vec<StageName>,
    },
    /// Clicks and ledger from Kafka into ClickHouse, exactly once.
    Sink,
    /// Read API and web pages.
    Dashboard,
    /// Events of the ledger to the addresses that workspaces declare.
    Webhooks,
    /// Topics, schemas and ClickHouse migrations; safe to repeat.
    Init,
    /// Declares a workspace from a program file. What did not change is not published again.
    Apply {
        /// Program file (YAML).
        #[arg(short, long)]
        file: PathBuf,
        /// Only say what would be published.
        #[arg(long)]
        dry_run: bool,
        /// Also delete what the workspace has and the file does not.
        #[arg(long)]
        prune: bool,
    },
    /// Prints what is declared, as JSON lines.
    Get {
        /// Only this workspace.
        #[arg(long)]
        workspace: Option<String>,
        /// workspace, program, partner, link, coupon, webhook, fx or erased.
        kind: Option<String>,
        /// Its ID.
        id: Option<String>,
    },
    /// Takes a declared object back. Sales made while it held keep it.
    Delete {
        /// Workspace.
        #[arg(long)]
        workspace: String,
        /// program, partner, link, coupon or webhook.
        kind: String,
        /// Its ID.
        id: String,
    },
    /// Makes and changes links while the API serves: of several that create one key, one wins, and the others fail.
    ///
    /// It asks the API of a running dashboard, as SDKs do. `get link` lists links, `delete` takes them back.
    Links {
        /// What to do.
        #[command(subcommand)]
        command: Links,
    },
    /// The ledger that requests lead to, without any server. Reads `-` from standard input.
    Simulate {
        /// Program file (YAML).
        #[arg(short, long)]
        file: PathBuf,
        /// Requests, one JSON object a line.
        requests: PathBuf,
        /// A table instead of JSON lines.
        #[arg(long)]
        table: bool,
    },
    /// Computes the ledger again from the facts and compares it with ClickHouse.
    Verify,
    /// Judges history by the rules of a file, and shows what that changes, in money for each partner.
    ///
    /// Rules declared with `apply` hold from then on. This states them from an earlier time on: entries since then are
    /// computed again, and the differences written as new rows. What was paid stays.
    Reattribute {
        /// Program file (YAML).
        #[arg(short, long)]
        file: PathBuf,
        /// From when on the file's rules hold, RFC 3339; from the beginning if not told.
        #[arg(long)]
        since: Option<jiff::Timestamp>,
        /// Only show the difference.
        #[arg(long)]
        dry_run: bool,
    },
    /// Says why a conversion or payment went to whom it went.
    Explain {
        /// Conversion, charge, payment intent, invoice, session or external ID.
        id: String,
        /// JSON instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Puts dead letters back into the topics that they came from.
    Replay {
        /// Only those with this reason.
        #[arg(long)]
        reason: Option<String>,
        /// Only count them.
        #[arg(long)]
        dry_run: bool,
    },
    /// Sends request lines to a running edge, webhooks signed, clicks and calls as they are.
    Send {
        /// Requests, one JSON object a line.
        requests: PathBuf,
        /// Address of the edge.
        #[arg(long, default_value = "http://127.0.0.1:8080")]
        edge: String,
        /// File with the Stripe webhook secret to sign with.
        #[arg(long, value_name = "FILE")]
        stripe_secret: Option<PathBuf>,
        /// Requests at the same time; the order is then only roughly the file's.
        #[arg(long, default_value_t = 1)]
        concurrency: usize,
    },
    /// States what a day held, once it is over: for rewards of clicks, and conditions on what a partner has brought.
    ///
    /// The sink does so by itself an hour after each day's end, UTC. By hand it is of use for days of an import, or
    /// after the sink was away. Safe to repeat: of a day's clicks the statement that knows of most counts. Days are closed one after the other, each after what the one before changed.
    CloseDays {
        /// First day, e.g. 2026-09-01; only the last one if not told.
        #[arg(long)]
        from: Option<jiff::civil::Date>,
        /// Last day; the last one that is over if not told.
        #[arg(long)]
        until: Option<jiff::civil::Date>,
    },
    /// Prints the net ledger that stands in ClickHouse, as `simulate --table` does.
    Ledger {
        /// Compare with this file and fail on any difference.
        #[arg(long, value_name = "FILE")]
        expect: Option<PathBuf>,
        /// Wait so many seconds for the ledger to become the expected one.
        #[arg(long, default_value_t = 60)]
        wait: u64,
    },
    /// Decides about commissions: approve, reject, withhold, release, pay, or give one by hand.
    ///
    /// What is paid is final: a later refund or correction is a row of its own that nets against the balance. A
    /// decision is a fact like any other: it may come before its sale, and twice.
    Commission {
        /// What to do.
        decision: Decision,
        /// Any ID: charge, invoice, session, external ID, conversion or commission. For `custom`, a new name.
        #[arg(required_unless_present = "file")]
        ids: Vec<String>,
        /// Many at once, a CSV table with a head: id,partner,amount,currency,payout,reason.
        #[arg(short, long, value_name = "FILE", conflicts_with = "ids")]
        file: Option<PathBuf>,
        /// Whose commission, where a sale has several.
        #[arg(long, default_value = "")]
        partner: String,
        /// Minor units that are paid or given; for `pay`, what is owed if not told.
        #[arg(long, allow_hyphen_values = true)]
        amount: Option<i64>,
        /// Currency of the amount.
        #[arg(long, default_value = "")]
        currency: String,
        /// The payout that pays it; `pay` needs it: told twice, it is one payment.
        #[arg(long, default_value = "")]
        payout: String,
        /// Why; `custom` needs it.
        #[arg(long, default_value = "")]
        reason: String,
        #[command(flatten)]
        tell: Tell,
    },
    /// Gives a customer to a partner by hand: it beats clicks and coupons for what is sold from then on.
    Assign {
        /// External ID, Stripe customer or e-mail address.
        customer: String,
        /// Partner; empty takes it back.
        partner: String,
        /// From when on, RFC 3339; now if not told. What was sold since then is computed again.
        #[arg(long)]
        from: Option<jiff::Timestamp>,
        /// Why.
        #[arg(long, default_value = "")]
        reason: String,
        #[command(flatten)]
        tell: Tell,
    },
    /// Forgets a person: name, e-mail address and picture. All numbers stay as they are.
    ///
    /// The journal and the ledger never held a name, only IDs and hashes. This takes the person from topic people and
    /// from ClickHouse, under every name that shares the e-mail address, and leaves a marker in topic config: no replay
    /// brings the name back. What the person does afterwards may be shown again. It needs a running sink, may be
    /// repeated, and says when the last raw copy ends: calls and Stripe events are kept for a while as they came.
    ///
    /// The customer is named as in column customer of conversions: the external ID, else the Stripe customer (cus_...),
    /// else guest_...; an e-mail address finds a guest. Look first with --dry-run: people who share an address are one.
    Erase(Erase),
    /// Exchange rates.
    Fx {
        /// What to do.
        #[command(subcommand)]
        command: Fx,
    },
    /// Prints the effective settings, secrets as ***.
    Config,
}

/// Who is forgotten.
#[derive(Debug, Args)]
pub struct Erase {
    /// External ID, Stripe customer (cus_...), guest_... or e-mail address.
    #[arg(long, value_name = "ID")]
    pub customer: String,
    /// Workspace.
    #[arg(long)]
    pub workspace: String,
    /// live, test or the name of a sandbox; all of them if not told.
    #[arg(long)]
    pub mode: Option<String>,
    /// Only say who would be forgotten.
    #[arg(long)]
    pub dry_run: bool,
    /// JSON instead of text.
    #[arg(long)]
    pub json: bool,
    /// Wait so many seconds for the sink.
    #[arg(long, default_value_t = 60)]
    pub wait: u64,
}

/// Commands about links.
#[derive(Debug, Subcommand)]
pub enum Links {
    /// Makes a link.
    Create {
        /// Where it leads.
        #[arg(long)]
        url: String,
        #[command(flatten)]
        fields: LinkFields,
        #[command(flatten)]
        api: Api,
    },
    /// Changes a link. What is not told stays.
    Update {
        /// Its ID, or `ext_` and your own.
        id: String,
        /// Where it leads.
        #[arg(long)]
        url: Option<String>,
        #[command(flatten)]
        fields: LinkFields,
        #[command(flatten)]
        api: Api,
    },
}

/// Where the API is, and who asks.
#[derive(Debug, Args)]
pub struct Api {
    /// Address of the dashboard, or of the edge under its API host: http://...; dashboard.listen of the settings if not told.
    #[arg(long, value_name = "URL")]
    pub server: Option<String>,
    /// A secret key of the workspace; links are of its mode.
    #[arg(long, env = "TRIBUTARY_TOKEN", hide_env_values = true)]
    pub token: String,
}

/// What a link may have.
#[derive(Debug, Args)]
pub struct LinkFields {
    /// Domain; of a new link the workspace's first if not told.
    #[arg(long)]
    pub domain: Option<String>,
    /// Key, what stands behind the domain; of a new link a random one if not told.
    #[arg(long)]
    pub key: Option<String>,
    /// ID of the partner whose link it is.
    #[arg(long)]
    pub partner: Option<String>,
    /// ID of your own.
    #[arg(long)]
    pub external_id: Option<String>,
}

/// Whose ledger is told something.
#[derive(Debug, Clone, Args)]
pub struct Tell {
    /// Workspace.
    #[arg(long)]
    pub workspace: String,
    /// live, test or the name of a sandbox.
    #[arg(long, default_value = "live")]
    pub mode: String,
    /// Only say what would be published.
    #[arg(long)]
    pub dry_run: bool,
}

/// What can be decided about a commission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Decision {
    /// It will be paid when it is due.
    Approve,
    /// It was never earned.
    Reject,
    /// It waits for another decision.
    Withhold,
    /// It waits no longer.
    Release,
    /// It was paid.
    Pay,
    /// A commission, or a negative one, for a reason of its own.
    Custom,
}

impl Decision {
    /// As it stands in facts.
    pub fn word(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Reject => "reject",
            Self::Withhold => "withhold",
            Self::Release => "release",
            Self::Pay => "pay",
            Self::Custom => "custom",
        }
    }
}

/// Commands about exchange rates.
#[derive(Debug, Subcommand)]
pub enum Fx {
    /// Loads rates: the history file of the European Central Bank (Date,USD,JPY,...), or date,base,currency,rate.
    ///
    /// A sale is converted by the latest rate dated on or before its day, at most seven days back. A rate is stated
    /// once; what was sold before its rate came is revised.
    Load {
        /// CSV table with a head.
        file: PathBuf,
        /// Workspace.
        #[arg(long)]
        workspace: String,
        /// Currency of which one unit is worth the rates, where the table does not say.
        #[arg(long, default_value = "eur")]
        base: String,
        /// Only say what would be published.
        #[arg(long)]
        dry_run: bool,
    },
}

/// Flags of `dev`.
#[derive(Debug, Args)]
pub struct Dev {
    /// Where servers and roles keep their data.
    #[arg(long, default_value = ".data/dev")]
    pub data: PathBuf,
    /// First of a row of fixed ports; free ones otherwise.
    #[arg(long)]
    pub port_base: Option<u16>,
    /// Only these servers, and no roles: kafka,registry,clickhouse.
    #[arg(long)]
    pub only: Option<String>,
    /// Program file to apply at the start.
    #[arg(short, long)]
    pub file: Option<PathBuf>,
}
