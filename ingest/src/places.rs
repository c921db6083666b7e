//! Where addresses are: from files of the operator, read at the start and again when they change.
//!
//! Files are read in a thread of their own and kept in memory; a request looks into what is there. A file that cannot
//! be read is told, and what was read before stays.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use ipnet::IpNet;
use maxminddb::Reader;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer};
use tributary_domain::requests::Place;

use crate::state::State;

const CHECK_EVERY: Duration = Duration::from_secs(1);

/// Which files there are.
#[derive(Debug, Clone, Default)]
pub struct PlaceFiles {
    /// MaxMind DB with places: GeoLite2 City or Country, DB-IP, or one of that shape.
    pub geo: Option<PathBuf>,
    /// MaxMind DB with the numbers of networks' owners (ASN); None: `geo` may have them.
    pub asn: Option<PathBuf>,
    /// Networks of data centers: one a line, as `192.0.2.0/24`, an address or `AS64496`; `#` begins a comment.
    pub data_centers: Option<PathBuf>,
}

impl PlaceFiles {
    pub(crate) fn any(&self) -> bool {
        self.geo.is_some() || self.data_centers.is_some()
    }
}

/// What is known about addresses.
#[derive(Default)]
pub(crate) struct Places {
    known: RwLock<Known>,
}

#[derive(Default)]
pub(crate) struct Known {
    geo: Option<Reader<Vec<u8>>>,
    asn: Option<Reader<Vec<u8>>>,
    data_centers: DataCenters,
}

#[derive(Deserialize)]
struct Record<'a> {
    #[serde(borrow)]
    country: Option<Coded<'a>>,
    #[serde(borrow)]
    continent: Option<Coded<'a>>,
    #[serde(borrow)]
    city: Option<Named<'a>>,
    // The first is the largest: a state, not its county.
    #[serde(borrow)]
    subdivisions: Option<Vec<Coded<'a>>>,
    autonomous_system_number: Option<Number>,
}

#[derive(Deserialize)]
struct Coded<'a> {
    #[serde(borrow, alias = "code")]
    iso_code: Option<&'a str>,
}

#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    names: Option<English<'a>>,
}

#[derive(Deserialize)]
struct English<'a> {
    #[serde(borrow)]
    en: Option<&'a str>,
}

#[derive(Deserialize)]
struct Owner {
    autonomous_system_number: Option<Number>,
}

// Of any width: writers take the smallest that holds the number, and the reader asks for the exact one.
struct Number(u32);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Any;
        impl Visitor<'_> for Any {
            type Value = Number;

            fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
                to.write_str("an AS number")
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Number, E> {
                u32::try_from(number).map(Number).map_err(E::custom)
            }
        }
        from.deserialize_any(Any)
    }
}

impl Places {
    pub(crate) fn known(&self) -> RwLockReadGuard<'_, Known> {
        // Replaced field by field, each as a whole.
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    // What was there is given back, and so freed after the lock: no request waits for that.
    fn change<T>(&self, change: impl FnOnce(&mut Known) -> T) -> T {
        change(&mut self.known.write().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Known {
    pub(crate) fn place(&self, ip: IpAddr) -> Place<'_> {
        let ip = ip.to_canonical();
        let found: Option<Record<'_>> = self.geo.as_ref().and_then(|geo| look_up(geo, ip));
        let mut owner = None;
        let mut place = Place::default();
        if let Some(record) = found {
            owner = record.autonomous_system_number.map(|number| number.0);
            place.country = record.country.and_then(|c| c.iso_code).unwrap_or_default();
            place.continent = record.continent.and_then(|c| c.iso_code).unwrap_or_default();
            place.city = record.city.and_then(|city| city.names?.en).unwrap_or_default();
            let subdivision = record
                .subdivisions
                .and_then(|all| all.into_iter().next()?.iso_code);
            if let Some(subdivision) = subdivision.filter(|_| !place.country.is_empty()) {
                place.region = Cow::Owned(format!("{}-{subdivision}", place.country));
            }
        }
        if !self.data_centers.owners.is_empty()
            && let Some(asn) = &self.asn
        {
            owner = look_up::<Owner>(asn, ip).and_then(|found| Some(found.autonomous_system_number?.0));
        }
        place.data_center = self.data_centers.has(ip, owner);
        place
    }
}

fn look_up<'a, T: Deserialize<'a>>(reader: &'a Reader<Vec<u8>>, ip: IpAddr) -> Option<T> {
    // A record that cannot be read says nothing; the file was verified when it was read.
    reader.lookup(ip).ok()?.decode().ok()?
}

/// Networks as ranges that do not meet, in order, and owners in order.
#[derive(Debug, Default, PartialEq)]
struct DataCenters {
    ranges: Vec<(u128, u128)>,
    owners: Vec<u32>,
}

impl DataCenters {
    fn parse(text: &str) -> anyhow::Result<Self> {
        let (mut ranges, mut owners) = (Vec::new(), Vec::new());
        for (number, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            let owner = line.strip_prefix("AS").and_then(|owner| owner.parse().ok());
            let network = || {
                line.parse::<IpNet>()
                    .ok()
                    .or_else(|| Some(line.parse::<IpAddr>().ok()?.into()))
            };
            match (owner, network()) {
                (Some(owner), _) => owners.push(owner),
                (None, Some(network)) => ranges.push((wide(network.network()), wide(network.broadcast()))),
                (None, None) => {
                    anyhow::bail!(
                        "line {}: {line:?} is no network, address or AS number",
                        number + 1
                    )
                }
            }
        }
        ranges.sort_unstable();
        ranges.dedup_by(|next, last| {
            let meets = next.0 <= last.1;
            if meets {
                last.1 = last.1.max(next.1);
            }
            meets
        });
        owners.sort_unstable();
        Ok(Self { ranges, owners })
    }

    fn has(&self, ip: IpAddr, owner: Option<u32>) -> bool {
        let ip = wide(ip);
        let after = self.ranges.partition_point(|(first, _)| *first <= ip);
        let range = after.checked_sub(1).and_then(|at| self.ranges.get(at));
        range.is_some_and(|(_, last)| ip <= *last)
            || owner.is_some_and(|owner| self.owners.binary_search(&owner).is_ok())
    }
}

fn wide(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => Ipv6Addr::to_bits(ip.to_ipv6_mapped()),
        IpAddr::V6(ip) => ip.to_bits(),
    }
}

type Load = fn(&Path, &Places) -> anyhow::Result<()>;

/// The files that are watched.
pub(crate) struct Watch(Vec<File>);

struct File {
    name: &'static str,
    path: PathBuf,
    load: Load,
    // When it was changed, and its length.
    read: Option<(SystemTime, u64)>,
}

impl Watch {
    /// Reads all files; one that cannot be read at the start is an error.
    pub(crate) fn start(files: &PlaceFiles, places: &Places) -> anyhow::Result<Self> {
        if files.geo.is_none() {
            tracing::info!("ingest.geo_file is not set: clicks have no country, region and city");
        }
        let named: [(_, _, Load); 3] = [
            ("geo_file", &files.geo, |path, places| {
                let reader = open(path)?;
                drop(places.change(|known| known.geo.replace(reader)));
                Ok(())
            }),
            ("asn_file", &files.asn, |path, places| {
                let reader = open(path)?;
                drop(places.change(|known| known.asn.replace(reader)));
                Ok(())
            }),
            ("data_centers_file", &files.data_centers, |path, places| {
                let found = DataCenters::parse(&std::fs::read_to_string(path)?)?;
                drop(places.change(|known| std::mem::replace(&mut known.data_centers, found)));
                Ok(())
            }),
        ];
        let mut watched = Vec::new();
        for (name, path, load) in named {
            if let Some(path) = path {
                let read = state_of(path);
                load(path, places).with_context(|| format!("ingest.{name}: {}", path.display()))?;
                tracing::info!(name, path = %path.display(), "read");
                watched.push(File {
                    name,
                    path: path.clone(),
                    load,
                    read,
                });
            }
        }
        Ok(Self(watched))
    }

    /// Reads again what changed, until the state is stopped.
    pub(crate) fn follow(mut self, places: &Places, state: &Arc<State>) {
        while !self.0.is_empty() && !state.stopped.load(Relaxed) {
            std::thread::sleep(CHECK_EVERY);
            self.check(places);
        }
    }

    fn check(&mut self, places: &Places) {
        for file in &mut self.0 {
            let found = state_of(&file.path);
            if found == file.read || found.is_none() {
                continue;
            }
            file.read = found;
            let (name, path) = (file.name, file.path.display());
            let outcome = match (file.load)(&file.path, places) {
                Ok(()) => {
                    tracing::info!(name, %path, "read again");
                    "read"
                }
                Err(error) => {
                    tracing::error!(name, %path, "what was read before stays: {error:#}");
                    "rejected"
                }
            };
            metrics::counter!("edge_place_files_total", "file" => name, "outcome" => outcome).increment(1);
        }
    }
}

fn state_of(path: &Path) -> Option<(SystemTime, u64)> {
    let found = path.metadata().ok()?;
    Some((found.modified().ok()?, found.len()))
}

fn open(path: &Path) -> anyhow::Result<Reader<Vec<u8>>> {
    let reader = Reader::open_readfile(path)?;
    // Half a file, or another one under its name, is seen here and not at a request.
    reader.verify()?;
    Ok(reader)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn data_centers_by_network_address_and_owner() {
        let text = "# ours\n192.0.2.0/25\n192.0.2.64/26 # within\n192.0.2.200\n2001:db8::/32\n\nAS64496\n";
        let found = DataCenters::parse(text).unwrap();
        assert_eq!((found.ranges.len(), found.owners.as_slice()), (3, &[64496][..]));
        for (address, owner, expected) in [
            ("192.0.2.0", None, true),
            ("192.0.2.127", None, true),
            ("192.0.2.128", None, false),
            ("192.0.2.200", None, true),
            ("192.0.1.255", None, false),
            ("2001:db8:ffff::1", None, true),
            ("2001:db9::", None, false),
            ("8.8.8.8", Some(64496), true),
            ("8.8.8.8", Some(64497), false),
        ] {
            assert_eq!(found.has(ip(address), owner), expected, "{address} {owner:?}");
        }
        let error = DataCenters::parse("192.0.2.0/24\nAShen\n")
            .unwrap_err()
            .to_string();
        assert!(error.contains("line 2") && error.contains("AShen"), "{error}");
    }

    #[test]
    fn a_place_is_what_the_file_says() {
        let places = Places::default();
        let files = PlaceFiles {
            geo: Some("testdata/places.mmdb".into()),
            ..PlaceFiles::default()
        };
        Watch::start(&files, &places).unwrap();
        let known = places.known();
        let oakland = Place {
            country: "US",
            region: "US-CA".into(),
            city: "Oakland",
            continent: "NA",
            data_center: false,
        };
        assert_eq!(known.place(ip("198.51.100.7")), oakland);
        assert_eq!(known.place(ip("::ffff:198.51.100.7")), oakland);
        assert_eq!(known.place(ip("2001:db8::7")).country, "DE");
        assert_eq!(known.place(ip("9.9.9.9")), Place::default());
    }

    #[test]
    fn files_are_read_again_and_a_broken_one_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (geo, list) = (dir.path().join("geo.mmdb"), dir.path().join("list"));
        std::fs::copy("testdata/places.mmdb", &geo).unwrap();
        std::fs::write(&list, "192.0.2.1\n").unwrap();
        let files = PlaceFiles {
            geo: Some(geo.clone()),
            asn: Some("testdata/places.mmdb".into()),
            data_centers: Some(list.clone()),
        };
        let places = Places::default();
        let mut watch = Watch::start(&files, &places).unwrap();
        let of = |address| {
            let known = places.known();
            let place = known.place(ip(address));
            (place.country.to_owned(), place.data_center)
        };
        let is_data_center = |address| of(address).1;
        assert!(is_data_center("192.0.2.1") && !is_data_center("203.0.113.7"));
        std::fs::write(&list, "AS64496\n").unwrap();
        std::fs::write(&geo, b"no database").unwrap();
        watch.check(&places);
        assert!(!is_data_center("192.0.2.1") && is_data_center("203.0.113.7"));
        assert_eq!(of("198.51.100.7").0, "US", "the broken file was not taken");
        let missing = PlaceFiles {
            geo: Some(dir.path().join("missing")),
            ..PlaceFiles::default()
        };
        let error = Watch::start(&missing, &places).err().unwrap();
        assert!(format!("{error:#}").contains("ingest.geo_file"), "{error:#}");
    }
}
