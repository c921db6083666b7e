//! Clicks to bytes on the hot path: Avro's binary form written straight from the fields.
//!
//! The general encoder costs more than all the rest of a click's handling. This one is trusted only if, at
//! start, it writes a click with every field filled exactly as the general encoder does; otherwise the
//! general one is used. A field added to `NewClick` stops the compilation here.

use tributary_avro::{Click, CodecError, Encoder};
use tributary_domain::requests::{NewClick, Utm};

pub(crate) struct ClickWriter {
    pub topic: String,
    general: Encoder<Click>,
    // Magic byte and schema ID, if the direct writer agrees with the general one.
    header: Option<[u8; 5]>,
}

impl ClickWriter {
    pub(crate) fn new(general: Encoder<Click>, topic: String) -> Result<Self, CodecError> {
        let mut header = None;
        let (full, empty) = (sample(), Click::default());
        if let Some(first) = general.encode(&full)?.first_chunk() {
            let agrees = direct(first, &(&full).into()) == general.encode(&full)?
                && direct(first, &(&empty).into()) == general.encode(&empty)?;
            header = agrees.then_some(*first);
        }
        if header.is_none() {
            tracing::warn!("the direct click writer disagrees with the schema; the general one is used");
        }
        Ok(Self {
            topic,
            general,
            header,
        })
    }

    pub(crate) fn encode(&self, click: &NewClick<'_>) -> Result<Vec<u8>, CodecError> {
        match &self.header {
            Some(header) => Ok(direct(header, click)),
            None => self.general.encode(&Click::from(click)),
        }
    }
}

fn direct(header: &[u8; 5], click: &NewClick<'_>) -> Vec<u8> {
    let NewClick {
        id,
        workspace,
        mode,
        at,
        link_id,
        domain,
        key,
        url,
        partner_id,
        program_id,
        group_id,
        trigger,
        country,
        region,
        city,
        continent,
        device,
        browser,
        os,
        referer,
        referer_url,
        utm:
            Utm {
                source,
                medium,
                campaign,
                term,
                content,
            },
        bot,
        tracked,
        visitor,
        duplicate_of,
        received,
    } = click;
    let mut out = Vec::with_capacity(512);
    out.extend_from_slice(header);
    texts(&mut out, [id, workspace, mode]);
    long(&mut out, *at);
    texts(
        &mut out,
        [
            link_id, domain, key, url, partner_id, program_id, group_id, trigger,
        ],
    );
    texts(&mut out, [country, region, city, continent, device, browser, os]);
    texts(&mut out, [referer, referer_url]);
    texts(&mut out, [source, medium, campaign, term, content]);
    texts(&mut out, [bot]);
    out.push(u8::from(*tracked));
    texts(&mut out, [visitor, duplicate_of]);
    long(&mut out, *received);
    out
}

fn texts<const N: usize>(out: &mut Vec<u8>, texts: [&str; N]) {
    for text in texts {
        long(out, i64::try_from(text.len()).unwrap_or(i64::MAX));
        out.extend_from_slice(text.as_bytes());
    }
}

// Zigzag, seven bits a byte, low bits first.
fn long(out: &mut Vec<u8>, value: i64) {
    let mut rest = (value.cast_unsigned() << 1) ^ (value >> 63).cast_unsigned();
    while rest >= 0x80 {
        out.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

// Each text differs, so that two fields in the wrong order do not go unseen.
fn sample() -> Click {
    let mut n = 0;
    let mut text = || {
        n += 1;
        "x".repeat(n * 5)
    };
    Click {
        id: text(),
        workspace: text(),
        mode: text(),
        at: 1_760_000_000_123,
        link_id: text(),
        domain: text(),
        key: text(),
        url: text(),
        partner_id: text(),
        program_id: text(),
        group_id: text(),
        trigger: text(),
        country: text(),
        region: text(),
        city: text(),
        continent: text(),
        device: text(),
        browser: text(),
        os: text(),
        referer: text(),
        referer_url: text(),
        utm_source: text(),
        utm_medium: text(),
        utm_campaign: text(),
        utm_term: text(),
        utm_content: text(),
        bot: text(),
        tracked: true,
        visitor: text(),
        duplicate_of: text(),
        received: -1_760_000_000_456,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_direct_writer_agrees_with_the_schema() {
        let writer = ClickWriter::new(Encoder::new(7).unwrap(), String::new()).unwrap();
        assert_eq!(writer.header, Some([0, 0, 0, 0, 7]));
        assert_eq!(
            writer.encode(&(&sample()).into()).unwrap(),
            Encoder::new(7).unwrap().encode(&sample()).unwrap()
        );
    }

    #[test]
    fn numbers_at_their_limits() {
        for value in [0, -1, 63, 64, -64, -65, i64::MAX, i64::MIN] {
            let click = Click {
                at: value,
                ..Click::default()
            };
            assert_eq!(
                direct(&[0, 0, 0, 0, 1], &(&click).into()),
                Encoder::new(1).unwrap().encode(&click).unwrap(),
                "{value}"
            );
        }
    }
}
