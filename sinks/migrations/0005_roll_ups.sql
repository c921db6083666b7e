-- Hourly sums, fed by the inserts into the tables. Every measure is sign * value, so a retraction takes back
-- exactly what its assertion added. Read them with sum() and GROUP BY: rows of one key merge later.

CREATE TABLE {database}.clicks_hourly{on_cluster} (
    `workspace`  LowCardinality(String) COMMENT 'workspace ID',
    `mode`       LowCardinality(String) COMMENT 'live, test or sandbox name',
    `hour`       DateTime('UTC')        COMMENT 'start of the hour of the event, UTC',
    `link_id`    String                 COMMENT 'link that was clicked; empty for a click without link',
    `domain`     LowCardinality(String) COMMENT 'host of the short link',
    `partner_id` LowCardinality(String) COMMENT 'partner of the link; empty if none',
    `program_id` LowCardinality(String) COMMENT 'program of the link; empty if none',
    `group_id`   LowCardinality(String) COMMENT 'partner group; empty if none',
    `country`    LowCardinality(String) COMMENT 'ISO 3166-1 alpha-2, upper case; empty if unknown',
    `device`     LowCardinality(String) COMMENT 'desktop, mobile, tablet, console, smarttv, wearable or empty',
    `trigger`    LowCardinality(String) COMMENT 'link, qr, script, api, deeplink',
    `clicks`     Int64                  COMMENT 'clicks of people, the first of a visitor and link within an hour',
    `duplicates` Int64                  COMMENT 'clicks of people that repeat one of the same visitor and link',
    `bots`       Int64                  COMMENT 'clicks taken for a machine'
)
ENGINE = {engine:SummingMergeTree}
PARTITION BY toYYYYMM(hour)
ORDER BY (workspace, mode, hour, link_id, domain, partner_id, program_id, group_id, country, device, trigger)
SETTINGS non_replicated_deduplication_window = {deduplication_window},
         replicated_deduplication_window = {deduplication_window}
COMMENT 'Clicks by hour; bots and duplicates are counted apart.';

CREATE MATERIALIZED VIEW {database}.clicks_hourly_feed{on_cluster} TO {database}.clicks_hourly AS
SELECT
    workspace, mode, toStartOfHour(toDateTime(at, 'UTC')) AS hour,
    link_id, domain, partner_id, program_id, group_id, country, device, trigger,
    toInt64(countIf(bot = '' AND duplicate_of = '')) AS clicks,
    toInt64(countIf(bot = '' AND duplicate_of != '')) AS duplicates,
    toInt64(countIf(bot != '')) AS bots
FROM {database}.clicks
GROUP BY workspace, mode, hour, link_id, domain, partner_id, program_id, group_id, country, device, trigger;

CREATE TABLE {database}.conversions_hourly{on_cluster} (
    `workspace`     LowCardinality(String) COMMENT 'workspace ID',
    `mode`          LowCardinality(String) COMMENT 'live, test or sandbox name',
    `hour`          DateTime('UTC')        COMMENT 'start of the hour of the event, UTC',
    `link_id`       String                 COMMENT 'link of the click; empty if none',
    `domain`        LowCardinality(String) COMMENT 'host of the short link',
    `partner_id`    LowCardinality(String) COMMENT 'partner with the credit; empty if none',
    `program_id`    LowCardinality(String) COMMENT 'program; empty if none',
    `group_id`      LowCardinality(String) COMMENT 'partner group; empty if none',
    `coupon`        LowCardinality(String) COMMENT 'coupon code that decided; empty if none',
    `country`       LowCardinality(String) COMMENT 'ISO 3166-1 alpha-2, upper case; empty if unknown',
    `device`        LowCardinality(String) COMMENT 'desktop, mobile, tablet, console, smarttv, wearable or empty',
    `trigger`       LowCardinality(String) COMMENT 'what made the click',
    `attributed_by` LowCardinality(String) COMMENT 'click, coupon, assignment or none',
    `reason`        LowCardinality(String) COMMENT 'why it is unattributed; empty if attributed',
    `sale_type`     LowCardinality(String) COMMENT 'new or recurring for sales',
    `currency`      LowCardinality(String) COMMENT 'currency of the amounts, ISO 4217, lower case',
    `leads`         Int64                  COMMENT 'leads, by quantity',
    `sales`         Int64                  COMMENT 'sales',
    `amount`        Int64                  COMMENT 'net amount of the sales, minor units of currency',
    `commission`    Int64                  COMMENT 'commission before refunds, minor units of currency'
)
ENGINE = {engine:SummingMergeTree}
PARTITION BY toYYYYMM(hour)
ORDER BY (workspace, mode, hour, link_id, domain, partner_id, program_id, group_id, coupon, country, device, trigger,
          attributed_by, reason, sale_type, currency)
SETTINGS non_replicated_deduplication_window = {deduplication_window},
         replicated_deduplication_window = {deduplication_window}
COMMENT 'Leads, sales and their amounts by hour.';

CREATE MATERIALIZED VIEW {database}.conversions_hourly_feed{on_cluster} TO {database}.conversions_hourly AS
SELECT
    workspace, mode, toStartOfHour(toDateTime(at, 'UTC')) AS hour,
    link_id, domain, partner_id, program_id, group_id, coupon, country, device, trigger,
    attributed_by, reason, sale_type, currency,
    sumIf(raw.sign * raw.quantity, kind = 'lead') AS leads,
    sumIf(toInt64(raw.sign), kind = 'sale') AS sales,
    sumIf(raw.sign * raw.amount, kind = 'sale') AS amount,
    sum(raw.sign * raw.commission) AS commission
FROM {database}.conversions AS raw
GROUP BY workspace, mode, hour, link_id, domain, partner_id, program_id, group_id, coupon, country, device, trigger,
         attributed_by, reason, sale_type, currency;

CREATE TABLE {database}.refunds_hourly{on_cluster} (
    `workspace`  LowCardinality(String) COMMENT 'workspace ID',
    `mode`       LowCardinality(String) COMMENT 'live, test or sandbox name',
    `hour`       DateTime('UTC')        COMMENT 'start of the hour of the event, UTC',
    `kind`       LowCardinality(String) COMMENT 'refund, dispute, credit_note',
    `link_id`    String                 COMMENT 'link of the click; empty if none',
    `domain`     LowCardinality(String) COMMENT 'host of the short link',
    `partner_id` LowCardinality(String) COMMENT 'partner with the credit; empty if none',
    `program_id` LowCardinality(String) COMMENT 'program; empty if none',
    `group_id`   LowCardinality(String) COMMENT 'partner group; empty if none',
    `coupon`     LowCardinality(String) COMMENT 'coupon code that decided; empty if none',
    `country`    LowCardinality(String) COMMENT 'ISO 3166-1 alpha-2, upper case; empty if unknown',
    `device`     LowCardinality(String) COMMENT 'desktop, mobile, tablet, console, smarttv, wearable or empty',
    `trigger`    LowCardinality(String) COMMENT 'what made the click',
    `sale_type`  LowCardinality(String) COMMENT 'new or recurring, of the sale',
    `currency`   LowCardinality(String) COMMENT 'currency of the amounts, ISO 4217, lower case',
    `refunds`    Int64                  COMMENT 'refunds, disputes and credit notes',
    `amount`     Int64                  COMMENT 'share of the sales taken back, minor units of currency',
    `commission` Int64                  COMMENT 'commission taken back, minor units of currency'
)
ENGINE = {engine:SummingMergeTree}
PARTITION BY toYYYYMM(hour)
ORDER BY (workspace, mode, hour, kind, link_id, domain, partner_id, program_id, group_id, coupon, country, device,
          trigger, sale_type, currency)
SETTINGS non_replicated_deduplication_window = {deduplication_window},
         replicated_deduplication_window = {deduplication_window}
COMMENT 'Money that went back, by hour of the event that took it.';

CREATE MATERIALIZED VIEW {database}.refunds_hourly_feed{on_cluster} TO {database}.refunds_hourly AS
SELECT
    workspace, mode, toStartOfHour(toDateTime(at, 'UTC')) AS hour, kind,
    link_id, domain, partner_id, program_id, group_id, coupon, country, device, trigger, sale_type, currency,
    sum(toInt64(raw.sign)) AS refunds,
    sum(raw.sign * raw.amount) AS amount,
    sum(raw.sign * raw.commission) AS commission
FROM {database}.refunds AS raw
GROUP BY workspace, mode, hour, kind, link_id, domain, partner_id, program_id, group_id, coupon, country, device,
         trigger, sale_type, currency;

CREATE TABLE {database}.commissions_hourly{on_cluster} (
    `workspace`  LowCardinality(String) COMMENT 'workspace ID',
    `mode`       LowCardinality(String) COMMENT 'live, test or sandbox name',
    `hour`       DateTime('UTC')        COMMENT 'start of the hour of the event, UTC',
    `kind`       LowCardinality(String) COMMENT 'sale, lead, click, take_back, correction, custom',
    `state`      LowCardinality(String) COMMENT 'pending, approved, paid, withheld or reversed',
    `link_id`    String                 COMMENT 'link of the click; empty if none',
    `domain`     LowCardinality(String) COMMENT 'host of the short link',
    `partner_id` LowCardinality(String) COMMENT 'partner who earned it',
    `program_id` LowCardinality(String) COMMENT 'program; empty if none',
    `group_id`   LowCardinality(String) COMMENT 'partner group; empty if none',
    `coupon`     LowCardinality(String) COMMENT 'coupon code that decided; empty if none',
    `country`    LowCardinality(String) COMMENT 'ISO 3166-1 alpha-2, upper case; empty if unknown',
    `device`     LowCardinality(String) COMMENT 'desktop, mobile, tablet, console, smarttv, wearable or empty',
    `trigger`    LowCardinality(String) COMMENT 'what made the click',
    `currency`   LowCardinality(String) COMMENT 'currency of the amounts, ISO 4217, lower case',
    `commissions` Int64                 COMMENT 'rows of the ledger that stand',
    `amount`     Int64                  COMMENT 'earned less taken back, minor units of currency'
)
ENGINE = {engine:SummingMergeTree}
PARTITION BY toYYYYMM(hour)
ORDER BY (workspace, mode, hour, kind, state, link_id, domain, partner_id, program_id, group_id, coupon, country,
          device, trigger, currency)
SETTINGS non_replicated_deduplication_window = {deduplication_window},
         replicated_deduplication_window = {deduplication_window}
COMMENT 'What partners earned, by hour of the event that earned it.';

CREATE MATERIALIZED VIEW {database}.commissions_hourly_feed{on_cluster} TO {database}.commissions_hourly AS
SELECT
    workspace, mode, toStartOfHour(toDateTime(at, 'UTC')) AS hour, kind, state,
    link_id, domain, partner_id, program_id, group_id, coupon, country, device, trigger, currency,
    sum(toInt64(raw.sign)) AS commissions,
    sum(raw.sign * raw.amount) AS amount
FROM {database}.commissions AS raw
GROUP BY workspace, mode, hour, kind, state, link_id, domain, partner_id, program_id, group_id, coupon, country,
         device, trigger, currency;
