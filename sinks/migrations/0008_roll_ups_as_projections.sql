-- Hourly sums as projections: each part of a table holds the sums of its own rows, so that nothing that happens to
-- ClickHouse can part the two. The tables that materialized views fed could lack a block after a kill. What was
-- <table>_hourly is a view that the projection answers; its expressions must stay the projection's, to the letter.
--
-- "IN ('')" for "= ''": the latter is rewritten to the size of the text, which the projection does not know.

ALTER TABLE {database}.clicks{on_cluster} ADD PROJECTION IF NOT EXISTS hourly (
    SELECT
        workspace, mode, toStartOfHour(toDateTime(at, 'UTC')) AS hour,
        link_id, domain, partner_id, program_id, group_id, country, device, trigger,
        countIf(bot = '' AND duplicate_of IN ('')),
        countIf(bot = '' AND duplicate_of NOT IN ('')),
        countIf(bot != '')
    GROUP BY workspace, mode, hour, link_id, domain, partner_id, program_id, group_id, country, device, trigger
);
ALTER TABLE {database}.clicks{on_cluster} MATERIALIZE PROJECTION hourly;
DROP VIEW IF EXISTS {database}.clicks_hourly_feed{on_cluster} SYNC;
DROP TABLE IF EXISTS {database}.clicks_hourly{on_cluster} SYNC;
CREATE VIEW {database}.clicks_hourly{on_cluster} AS
SELECT
    workspace, mode, toStartOfHour(toDateTime(at, 'UTC')) AS hour,
    link_id, domain, partner_id, program_id, group_id, country, device, trigger,
    toInt64(countIf(bot = '' AND duplicate_of IN (''))) AS clicks,
    toInt64(countIf(bot = '' AND duplicate_of NOT IN (''))) AS duplicates,
    toInt64(countIf(bot != '')) AS bots
FROM {database}.clicks
GROUP BY workspace, mode, hour, link_id, domain, partner_id, program_id, group_id, country, device, trigger;

ALTER TABLE {database}.conversions{on_cluster} ADD PROJECTION IF NOT EXISTS hourly (
    SELECT
        workspace, mode, toStartOfHour(toDateTime(at, 'UTC')) AS hour,
        link_id, domain, partner_id, program_id, group_id, coupon, country, device, trigger,
        attributed_by, reason, sale_type, currency,
        sumIf(sign * quantity, kind = 'lead'),
        sumIf(toInt64(sign), kind = 'sale'),
        sumIf(sign * amount, kind = 'sale'),
        sum(sign * commission)
    GROUP BY workspace, mode, hour, link_id, domain, partner_id, program_id, group_id, coupon, country, device, trigger,
             attributed_by, reason, sale_type, currency
);
ALTER TABLE {database}.conversions{on_cluster} MATERIALIZE PROJECTION hourly;
DROP VIEW IF EXISTS {database}.conversions_hourly_feed{on_cluster} SYNC;
DROP TABLE IF EXISTS {database}.conversions_hourly{on_cluster} SYNC;
CREATE VIEW {database}.conversions_hourly{on_cluster} AS
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

ALTER TABLE {database}.refunds{on_cluster} ADD PROJECTION IF NOT EXISTS hourly (
    SELECT
        workspace, mode, toStartOfHour(toDateTime(at, 'UTC')) AS hour, kind,
        link_id, domain, partner_id, program_id, group_id, coupon, country, device, trigger, sale_type, currency,
        sum(toInt64(sign)),
        sum(sign * amount),
        sum(sign * commission)
    GROUP BY workspace, mode, hour, kind, link_id, domain, partner_id, program_id, group_id, coupon, country, device,
             trigger, sale_type, currency
);
ALTER TABLE {database}.refunds{on_cluster} MATERIALIZE PROJECTION hourly;
DROP VIEW IF EXISTS {database}.refunds_hourly_feed{on_cluster} SYNC;
DROP TABLE IF EXISTS {database}.refunds_hourly{on_cluster} SYNC;
CREATE VIEW {database}.refunds_hourly{on_cluster} AS
SELECT
    workspace, mode, toStartOfHour(toDateTime(at, 'UTC')) AS hour, kind,
    link_id, domain, partner_id, program_id, group_id, coupon, country, device, trigger, sale_type, currency,
    sum(toInt64(raw.sign)) AS refunds,
    sum(raw.sign * raw.amount) AS amount,
    sum(raw.sign * raw.commission) AS commission
FROM {database}.refunds AS raw
GROUP BY workspace, mode, hour, kind, link_id, domain, partner_id, program_id, group_id, coupon, country, device,
         trigger, sale_type, currency;

ALTER TABLE {database}.commissions{on_cluster} ADD PROJECTION IF NOT EXISTS hourly (
    SELECT
        workspace, mode, toStartOfHour(toDateTime(at, 'UTC')) AS hour, kind, state,
        link_id, domain, partner_id, program_id, group_id, coupon, country, device, trigger, currency,
        sum(toInt64(sign)),
        sum(sign * amount)
    GROUP BY workspace, mode, hour, kind, state, link_id, domain, partner_id, program_id, group_id, coupon, country,
             device, trigger, currency
);
ALTER TABLE {database}.commissions{on_cluster} MATERIALIZE PROJECTION hourly;
DROP VIEW IF EXISTS {database}.commissions_hourly_feed{on_cluster} SYNC;
DROP TABLE IF EXISTS {database}.commissions_hourly{on_cluster} SYNC;
CREATE VIEW {database}.commissions_hourly{on_cluster} AS
SELECT
    workspace, mode, toStartOfHour(toDateTime(at, 'UTC')) AS hour, kind, state,
    link_id, domain, partner_id, program_id, group_id, coupon, country, device, trigger, currency,
    sum(toInt64(raw.sign)) AS commissions,
    sum(raw.sign * raw.amount) AS amount
FROM {database}.commissions AS raw
GROUP BY workspace, mode, hour, kind, state, link_id, domain, partner_id, program_id, group_id, coupon, country,
         device, trigger, currency;
