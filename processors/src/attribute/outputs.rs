//! Ledger rows and dead letters as bytes for one transaction.

use std::sync::Arc;

use anyhow::Result;
use rdkafka::message::{Header, OwnedHeaders};
use tributary_avro::{CodecError, Commission, Conversion, Encoder, Op, Refund, Topic};
use tributary_domain::engine::Row;

use crate::registry::Registry;

/// Slot of the dead letters; those of the ledger topics are their index in `Topic::LEDGER`.
pub(super) const DEAD_LETTERS: usize = 3;

/// One record of a transaction.
pub(super) struct Record {
    pub slot: usize,
    pub key: Vec<u8>,
    pub value: Vec<u8>,
    pub headers: Option<OwnedHeaders>,
}

pub(super) struct Encoders {
    conversions: Arc<Encoder<Conversion>>,
    refunds: Arc<Encoder<Refund>>,
    commissions: Arc<Encoder<Commission>>,
}

impl Encoders {
    pub(super) async fn new(registry: &Registry) -> Result<Self> {
        Ok(Self {
            conversions: registry.encoder(Topic::Conversions).await?,
            refunds: registry.encoder(Topic::Refunds).await?,
            commissions: registry.encoder(Topic::Commissions).await?,
        })
    }

    pub(super) fn row(&self, row: &Row) -> Result<Record, CodecError> {
        match row {
            Row::Conversion(row) => {
                let about = About {
                    slot: 0,
                    kind: &row.kind,
                    op: row.op,
                    workspace: &row.workspace,
                    mode: &row.mode,
                };
                Ok(about.record(self.conversions.encode(row)?))
            }
            Row::Refund(row) => {
                let about = About {
                    slot: 1,
                    kind: &row.kind,
                    op: row.op,
                    workspace: &row.workspace,
                    mode: &row.mode,
                };
                Ok(about.record(self.refunds.encode(row)?))
            }
            Row::Commission(row) => {
                let about = About {
                    slot: 2,
                    kind: &row.kind,
                    op: row.op,
                    workspace: &row.workspace,
                    mode: &row.mode,
                };
                Ok(about.record(self.commissions.encode(row)?))
            }
        }
    }
}

struct About<'a> {
    slot: usize,
    kind: &'a str,
    op: Op,
    workspace: &'a str,
    mode: &'a str,
}

impl About<'_> {
    fn record(&self, value: Vec<u8>) -> Record {
        let op = match self.op {
            Op::Assert => "assert",
            Op::Retract => "retract",
        };
        let event_type = format!("{}.{op}", self.kind);
        let mut headers = OwnedHeaders::new_with_capacity(3);
        for (key, value) in [
            ("event-type", event_type.as_str()),
            ("workspace", self.workspace),
            ("mode", self.mode),
        ] {
            headers = headers.insert(Header {
                key,
                value: Some(value),
            });
        }
        Record {
            slot: self.slot,
            key: format!("{}/{}", self.workspace, self.mode).into_bytes(),
            value,
            headers: Some(headers),
        }
    }
}
