//! Rows of a click table with 20 columns, as a foreign team would have it: made by hash, the same for the same seed.

use tributary_avro::Click;
use tributary_domain::click_id;

use crate::random::{below, mix, pick, text, unit};

/// The columns of the table.
pub const COLUMNS: &str = "click_id String, ts DateTime64(3), workspace_id String, link_id String, \
    domain LowCardinality(String), slug String, url String, country LowCardinality(String), \
    region LowCardinality(String), city String, continent LowCardinality(String), device LowCardinality(String), \
    browser LowCardinality(String), os LowCardinality(String), referrer String, utm_source LowCardinality(String), \
    bot UInt8, qr UInt8, ip_hash Int64, latency_us Int32";
/// In which order the table is sorted.
pub const ORDER: &str = "workspace_id, link_id, ts";

const TEXTS: [&str; 16] = [
    "click_id",
    "ts",
    "workspace_id",
    "link_id",
    "domain",
    "slug",
    "url",
    "country",
    "region",
    "city",
    "continent",
    "device",
    "browser",
    "os",
    "referrer",
    "utm_source",
];
const NUMBERS: [&str; 4] = ["bot", "qr", "ip_hash", "latency_us"];
const COUNTRIES: [&str; 12] = [
    "US", "DE", "GB", "FR", "IN", "BR", "JP", "CA", "AU", "NL", "ES", "IT",
];
const CONTINENTS: [&str; 12] = [
    "NA", "EU", "EU", "EU", "AS", "SA", "AS", "NA", "OC", "EU", "EU", "EU",
];
const CITIES: [&str; 8] = [
    "Springfield",
    "Riverton",
    "Lakeside",
    "Georgetown",
    "Fairview",
    "Ashland",
    "Milton",
    "Clayton",
];
const DEVICES: [&str; 3] = ["desktop", "mobile", "tablet"];
const BROWSERS: [&str; 5] = ["Chrome", "Safari", "Firefox", "Edge", "Opera"];
const SYSTEMS: [&str; 5] = ["Windows", "iOS", "Android", "macOS", "Linux"];
const SOURCES: [&str; 6] = ["", "newsletter", "twitter", "google", "partner", "podcast"];

/// The Avro schema of a row.
pub fn schema() -> String {
    let fields: Vec<serde_json::Value> = TEXTS
        .iter()
        .map(|name| match *name {
            "ts" => {
                serde_json::json!({"name": "ts", "type": {"type": "long", "logicalType": "timestamp-millis"}})
            }
            name => serde_json::json!({"name": name, "type": "string"}),
        })
        .chain(
            NUMBERS
                .iter()
                .map(|name| serde_json::json!({"name": name, "type": "long"})),
        )
        .collect();
    serde_json::json!({"type": "record", "name": "Row", "fields": fields}).to_string()
}

/// One row.
pub struct Row {
    texts: [String; 15],
    at: i64,
    numbers: [i64; 4],
}

impl Row {
    /// The `i`th row; `base` is the time of the first.
    pub fn new(seed: u64, i: u64, base: i64) -> Self {
        let h = mix(mix(seed).wrapping_add(i));
        let g = mix(h);
        let share = unit(g);
        let workspace = (1_000.0 * share * share) as u64;
        let link = below(h >> 5, 200);
        let place = h >> 9;
        let country = pick(place, &COUNTRIES);
        Self {
            texts: [
                text(h, 22),
                format!("ws_{}", text(mix(workspace), 12)),
                format!("lnk_{}", text(mix(workspace * 1_000 + link), 16)),
                format!("go{}.example", workspace % 300),
                text(mix(workspace * 7_000 + link), 7),
                format!(
                    "https://www.example{}.com/landing/{link}?ref={}",
                    workspace % 500,
                    workspace % 50
                ),
                country.to_owned(),
                format!("{country}-{}", below(h >> 13, 20)),
                format!("{} {}", pick(h >> 17, &CITIES), below(h >> 19, 100)),
                pick(place, &CONTINENTS).to_owned(),
                pick(g >> 3, &DEVICES).to_owned(),
                pick(g >> 7, &BROWSERS).to_owned(),
                pick(g >> 11, &SYSTEMS).to_owned(),
                format!("https://ref{}.example/", below(g >> 15, 400)),
                pick(g >> 19, &SOURCES).to_owned(),
            ],
            at: base + i.cast_signed(),
            numbers: [
                i64::from(below(g >> 23, 50) == 0),
                i64::from(below(g >> 27, 20) == 0),
                mix(g).cast_signed(),
                100 + below(g >> 31, 20_000).cast_signed(),
            ],
        }
    }

    /// Event time, UTC milliseconds.
    pub fn at(&self) -> i64 {
        self.at
    }

    /// The row's ID: its key in Kafka.
    pub fn id(&self) -> &str {
        self.texts.first().map_or("", String::as_str)
    }

    /// Confluent's frame and the Avro datum.
    pub fn encode(&self, schema_id: u32) -> Vec<u8> {
        let mut out = Vec::with_capacity(320);
        out.push(0);
        out.extend_from_slice(&schema_id.to_be_bytes());
        for (place, value) in self.texts.iter().enumerate() {
            zigzag(&mut out, value.len() as i64);
            out.extend_from_slice(value.as_bytes());
            if place == 0 {
                zigzag(&mut out, self.at);
            }
        }
        self.numbers.iter().for_each(|number| zigzag(&mut out, *number));
        out
    }

    /// The same click as the pipeline's own table has it.
    pub fn click(&self) -> Click {
        let [
            _,
            workspace,
            link,
            domain,
            slug,
            url,
            country,
            region,
            city,
            continent,
            device,
            browser,
            os,
            referrer,
            source,
        ] = self.texts.clone();
        let [bot, _, visitor, _] = self.numbers;
        Click {
            id: click_id::new(self.at, visitor.cast_unsigned()),
            workspace: workspace.to_ascii_lowercase(),
            mode: "live".to_owned(),
            at: self.at,
            link_id: link,
            domain,
            key: slug,
            url,
            partner_id: format!("p{}", below(visitor.cast_unsigned(), 20)),
            program_id: "main".to_owned(),
            trigger: "link".to_owned(),
            country,
            region,
            city,
            continent,
            device,
            browser,
            os,
            referer: referrer
                .trim_start_matches("https://")
                .trim_end_matches('/')
                .to_owned(),
            referer_url: referrer,
            utm_source: source,
            bot: if bot == 1 {
                "list".to_owned()
            } else {
                String::new()
            },
            tracked: true,
            visitor: format!("{visitor:016x}"),
            received: self.at,
            ..Click::default()
        }
    }
}

fn zigzag(out: &mut Vec<u8>, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while rest >= 0x80 {
        out.push((rest & 0x7F) as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use tributary_avro::Decoder;

    #[derive(serde::Deserialize)]
    #[serde(rename = "Row")]
    struct Read {
        click_id: String,
        ts: i64,
        utm_source: String,
        ip_hash: i64,
    }

    #[test]
    fn a_row_is_a_datum_of_its_schema_with_every_column() {
        let schema = schema();
        let names: Vec<String> = serde_json::from_str::<serde_json::Value>(&schema).unwrap()["fields"]
            .as_array()
            .unwrap()
            .iter()
            .map(|field| field["name"].as_str().unwrap().to_owned())
            .collect();
        let columns: Vec<&str> = COLUMNS
            .split(", ")
            .map(|column| column.trim().split(' ').next().unwrap())
            .collect();
        assert_eq!(names, columns);
        let mut decoder = Decoder::<Read>::default();
        decoder.add(9, &schema).unwrap();
        let row = Row::new(11, 5, 1_760_000_000_000);
        let read = decoder.decode(&row.encode(9)).unwrap();
        assert_eq!((read.click_id.as_str(), read.ts), (row.id(), 1_760_000_000_005));
        assert_eq!(
            (read.utm_source.as_str(), read.ip_hash),
            (row.texts[14].as_str(), row.numbers[2])
        );
    }
}
