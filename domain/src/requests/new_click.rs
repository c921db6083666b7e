//! A click as its request and the directory tell it, mostly borrowed from them: the edge writes it into
//! Kafka without a copy of each text on the way.

use std::borrow::Cow;

use serde::Serialize;
use tributary_avro::Click;

use super::destination::Utm;

/// The fields of [`Click`] in their order, so that both have one datum. A field added there stops the compilation here.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[expect(missing_docs, reason = "as in Click")]
pub struct NewClick<'a> {
    pub id: Cow<'a, str>,
    pub workspace: &'a str,
    pub mode: &'a str,
    pub at: i64,
    pub link_id: &'a str,
    pub domain: &'a str,
    pub key: &'a str,
    pub url: Cow<'a, str>,
    pub partner_id: &'a str,
    pub program_id: &'a str,
    pub group_id: &'a str,
    pub trigger: &'a str,
    pub country: &'a str,
    pub region: Cow<'a, str>,
    pub city: &'a str,
    pub continent: &'a str,
    pub device: &'a str,
    pub browser: &'a str,
    pub os: &'a str,
    pub referer: Cow<'a, str>,
    pub referer_url: Cow<'a, str>,
    pub utm: Utm<'a>,
    pub bot: &'a str,
    pub tracked: bool,
    pub visitor: Cow<'a, str>,
    pub duplicate_of: Cow<'a, str>,
    pub received: i64,
}

impl From<&NewClick<'_>> for Click {
    fn from(click: &NewClick<'_>) -> Self {
        Self {
            id: click.id.to_string(),
            workspace: click.workspace.to_owned(),
            mode: click.mode.to_owned(),
            at: click.at,
            link_id: click.link_id.to_owned(),
            domain: click.domain.to_owned(),
            key: click.key.to_owned(),
            url: click.url.to_string(),
            partner_id: click.partner_id.to_owned(),
            program_id: click.program_id.to_owned(),
            group_id: click.group_id.to_owned(),
            trigger: click.trigger.to_owned(),
            country: click.country.to_owned(),
            region: click.region.to_string(),
            city: click.city.to_owned(),
            continent: click.continent.to_owned(),
            device: click.device.to_owned(),
            browser: click.browser.to_owned(),
            os: click.os.to_owned(),
            referer: click.referer.to_string(),
            referer_url: click.referer_url.to_string(),
            utm_source: click.utm.source.to_string(),
            utm_medium: click.utm.medium.to_string(),
            utm_campaign: click.utm.campaign.to_string(),
            utm_term: click.utm.term.to_string(),
            utm_content: click.utm.content.to_string(),
            bot: click.bot.to_owned(),
            tracked: click.tracked,
            visitor: click.visitor.to_string(),
            duplicate_of: click.duplicate_of.to_string(),
            received: click.received,
        }
    }
}

#[cfg(test)]
mod tests {
    use tributary_avro::Encoder;

    use super::*;

    // Each text differs, so that two fields in the wrong order do not go unseen.
    #[test]
    fn it_is_written_as_a_click_is() {
        let texts: Vec<String> = (1..30).map(|n| "x".repeat(n * 5)).collect();
        let mut texts = texts.iter();
        let mut text = || texts.next().unwrap().as_str();
        let click = NewClick {
            id: text().into(),
            workspace: text(),
            mode: text(),
            at: 1_760_000_000_123,
            link_id: text(),
            domain: text(),
            key: text(),
            url: text().into(),
            partner_id: text(),
            program_id: text(),
            group_id: text(),
            trigger: text(),
            country: text(),
            region: text().into(),
            city: text(),
            continent: text(),
            device: text(),
            browser: text(),
            os: text(),
            referer: text().into(),
            referer_url: text().into(),
            utm: Utm {
                source: text().into(),
                medium: text().into(),
                campaign: text().into(),
                term: text().into(),
                content: text().into(),
            },
            bot: text(),
            tracked: true,
            visitor: text().into(),
            duplicate_of: text().into(),
            received: -1_760_000_000_456,
        };
        let encoder = Encoder::<Click>::new(7);
        let written = encoder.encode_form(&click).unwrap();
        assert_eq!(written, encoder.encode(&Click::from(&click)).unwrap());
    }
}
