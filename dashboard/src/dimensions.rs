//! What figures can be filtered and grouped by, as one table: a new dimension is a new line here.

/// A column of the ledger, and where else it exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    pub name: &'static str,
    /// Clicks have it; elsewhere it reads as empty for them.
    pub on_clicks: bool,
    /// The sums of clicks by day and link have it.
    pub of_link: bool,
    /// The sums of conversions by hour have it.
    pub hourly: bool,
}

const fn of_link(name: &'static str) -> Column {
    Column {
        name,
        on_clicks: true,
        of_link: true,
        hourly: false,
    }
}

const fn of_click(name: &'static str) -> Column {
    Column {
        name,
        on_clicks: true,
        of_link: false,
        hourly: false,
    }
}

const fn of_conversion(name: &'static str, hourly: bool) -> Column {
    Column {
        name,
        on_clicks: false,
        of_link: false,
        hourly,
    }
}

const LINK: Column = of_link("link_id");
const DOMAIN: Column = of_link("domain");
const KEY: Column = of_link("key");
const URL: Column = of_click("url");
const PARTNER: Column = of_link("partner_id");
const PROGRAM: Column = of_link("program_id");
const GROUP: Column = of_link("group_id");
const COUPON: Column = of_conversion("coupon", false);
const TRIGGER: Column = of_click("trigger");
const COUNTRY: Column = of_click("country");
const REGION: Column = of_click("region");
const CITY: Column = of_click("city");
const CONTINENT: Column = of_click("continent");
const DEVICE: Column = of_click("device");
const BROWSER: Column = of_click("browser");
const OS: Column = of_click("os");
const REFERER: Column = of_click("referer");
const REFERER_URL: Column = of_click("referer_url");
const UTM_SOURCE: Column = of_click("utm_source");
const UTM_MEDIUM: Column = of_click("utm_medium");
const UTM_CAMPAIGN: Column = of_click("utm_campaign");
const UTM_TERM: Column = of_click("utm_term");
const UTM_CONTENT: Column = of_click("utm_content");
const CUSTOMER: Column = of_conversion("customer", false);
const SALE_TYPE: Column = of_conversion("sale_type", true);

/// Parameter of the query string and the column that it filters.
pub const FILTERS: [(&str, Column); 25] = [
    ("linkId", LINK),
    ("domain", DOMAIN),
    ("key", KEY),
    ("url", URL),
    ("partnerId", PARTNER),
    ("programId", PROGRAM),
    ("groupId", GROUP),
    ("coupon", COUPON),
    ("trigger", TRIGGER),
    ("country", COUNTRY),
    ("region", REGION),
    ("city", CITY),
    ("continent", CONTINENT),
    ("device", DEVICE),
    ("browser", BROWSER),
    ("os", OS),
    ("referer", REFERER),
    ("refererUrl", REFERER_URL),
    ("utm_source", UTM_SOURCE),
    ("utm_medium", UTM_MEDIUM),
    ("utm_campaign", UTM_CAMPAIGN),
    ("utm_term", UTM_TERM),
    ("utm_content", UTM_CONTENT),
    ("customerId", CUSTOMER),
    ("saleType", SALE_TYPE),
];

/// A value of `groupBy`: the fields of an answer's row with their columns, and fields that are always the same.
#[derive(Debug)]
pub struct Grouping {
    pub name: &'static str,
    pub fields: &'static [(&'static str, Column)],
    pub constant: &'static [(&'static str, &'static str)],
}

const fn by(name: &'static str, fields: &'static [(&'static str, Column)]) -> Grouping {
    Grouping {
        name,
        fields,
        constant: &[],
    }
}

/// Names and fields as in Dub's API; `coupons` and `top_programs` come on top.
pub static GROUPINGS: [Grouping; 23] = [
    by("continents", &[("continent", CONTINENT)]),
    Grouping {
        name: "countries",
        fields: &[("country", COUNTRY)],
        constant: &[("region", "*"), ("city", "*")],
    },
    Grouping {
        name: "regions",
        fields: &[("country", COUNTRY), ("region", REGION)],
        constant: &[("city", "*")],
    },
    by(
        "cities",
        &[("country", COUNTRY), ("region", REGION), ("city", CITY)],
    ),
    by("devices", &[("device", DEVICE)]),
    by("browsers", &[("browser", BROWSER)]),
    by("os", &[("os", OS)]),
    by("triggers", &[("trigger", TRIGGER)]),
    by("referers", &[("referer", REFERER)]),
    by("referer_urls", &[("refererUrl", REFERER_URL)]),
    by("top_links", &[("id", LINK), ("domain", DOMAIN), ("key", KEY)]),
    by("top_urls", &[("url", URL)]),
    by("top_domains", &[("domain", DOMAIN)]),
    by("top_partners", &[("partnerId", PARTNER)]),
    by("top_programs", &[("programId", PROGRAM)]),
    by("top_groups", &[("groupId", GROUP)]),
    by("utm_sources", &[("utm_source", UTM_SOURCE)]),
    by("utm_mediums", &[("utm_medium", UTM_MEDIUM)]),
    by("utm_campaigns", &[("utm_campaign", UTM_CAMPAIGN)]),
    by("utm_terms", &[("utm_term", UTM_TERM)]),
    by("utm_contents", &[("utm_content", UTM_CONTENT)]),
    by("coupons", &[("coupon", COUPON)]),
    by("sale_types", &[("saleType", SALE_TYPE)]),
];
