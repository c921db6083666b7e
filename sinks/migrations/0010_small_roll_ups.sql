-- Roll-ups that stay small. Sums by hour and by every dimension had about a row a click once there were ten thousand
-- links; now there are totals by hour, and clicks by day (UTC) and link. Other questions read the rows (ADR 0024).
-- As in 0008, a view's expressions are the projection's to the letter. Everything can be repeated: a migration that
-- was stopped half-way begins again.

DROP VIEW IF EXISTS {database}.revenue_unattributed{on_cluster} SYNC;
DROP VIEW IF EXISTS {database}.funnel_cohort{on_cluster} SYNC;
DROP VIEW IF EXISTS {database}.funnel{on_cluster} SYNC;
DROP VIEW IF EXISTS {database}.timeseries{on_cluster} SYNC;
DROP VIEW IF EXISTS {database}.timeseries_by_link{on_cluster} SYNC;
DROP VIEW IF EXISTS {database}.clicks_daily{on_cluster} SYNC;
DROP VIEW IF EXISTS {database}.clicks_hourly{on_cluster} SYNC;
DROP VIEW IF EXISTS {database}.conversions_hourly{on_cluster} SYNC;
DROP VIEW IF EXISTS {database}.refunds_hourly{on_cluster} SYNC;
DROP VIEW IF EXISTS {database}.commissions_hourly{on_cluster} SYNC;
ALTER TABLE {database}.clicks{on_cluster} DROP PROJECTION IF EXISTS hourly SETTINGS mutations_sync = 2;
ALTER TABLE {database}.conversions{on_cluster} DROP PROJECTION IF EXISTS hourly SETTINGS mutations_sync = 2;
ALTER TABLE {database}.refunds{on_cluster} DROP PROJECTION IF EXISTS hourly SETTINGS mutations_sync = 2;
ALTER TABLE {database}.commissions{on_cluster} DROP PROJECTION IF EXISTS hourly SETTINGS mutations_sync = 2;

-- Links, and the pages they stand on, repeat: dictionaries. Times and offsets are close to those before.
ALTER TABLE {database}.clicks{on_cluster} MODIFY SETTING default_compression_codec = 'ZSTD(1)';
ALTER TABLE {database}.conversions{on_cluster} MODIFY SETTING default_compression_codec = 'ZSTD(1)';
ALTER TABLE {database}.refunds{on_cluster} MODIFY SETTING default_compression_codec = 'ZSTD(1)';
ALTER TABLE {database}.commissions{on_cluster} MODIFY SETTING default_compression_codec = 'ZSTD(1)';
ALTER TABLE {database}.clicks{on_cluster}
    MODIFY COLUMN `link_id` LowCardinality(String) COMMENT 'link that was clicked; empty for a click without link',
    MODIFY COLUMN `key` LowCardinality(String) COMMENT 'path of the short link without the leading slash',
    MODIFY COLUMN `url` LowCardinality(String) COMMENT 'destination without click parameters',
    MODIFY COLUMN `referer_url` LowCardinality(String) COMMENT 'referring URL without query; (direct) if none',
    MODIFY COLUMN `at` DateTime64(3, 'UTC') COMMENT 'event time, UTC, milliseconds' CODEC(Delta(8), ZSTD(1)),
    MODIFY COLUMN `received` DateTime64(3, 'UTC') COMMENT 'time the edge accepted the request, UTC, milliseconds' CODEC(Delta(8), ZSTD(1)),
    MODIFY COLUMN `kafka_offset` Int64 COMMENT 'offset of the record that the row comes from' CODEC(Delta(8), ZSTD(1))
    SETTINGS mutations_sync = 2;

ALTER TABLE {database}.clicks{on_cluster} ADD PROJECTION IF NOT EXISTS by_hour (
    SELECT
        workspace, mode, toStartOfHour(toDateTime(at, 'UTC')) AS hour,
        countIf(bot = '' AND duplicate_of IN ('')),
        countIf(bot = '' AND duplicate_of NOT IN ('')),
        countIf(bot != '')
    GROUP BY workspace, mode, hour
);
ALTER TABLE {database}.clicks{on_cluster} MATERIALIZE PROJECTION by_hour;
CREATE VIEW {database}.clicks_hourly{on_cluster} AS
SELECT
    workspace, mode, toStartOfHour(toDateTime(at, 'UTC')) AS hour,
    toInt64(countIf(bot = '' AND duplicate_of IN (''))) AS clicks,
    toInt64(countIf(bot = '' AND duplicate_of NOT IN (''))) AS duplicates,
    toInt64(countIf(bot != '')) AS bots
FROM {database}.clicks
GROUP BY workspace, mode, hour;

ALTER TABLE {database}.clicks{on_cluster} ADD PROJECTION IF NOT EXISTS by_link_and_day (
    SELECT
        workspace, mode, link_id, toStartOfDay(toDateTime(at, 'UTC')) AS day, domain, key, partner_id, program_id, group_id,
        countIf(bot = '' AND duplicate_of IN ('')),
        countIf(bot = '' AND duplicate_of NOT IN ('')),
        countIf(bot != '')
    GROUP BY workspace, mode, link_id, day, domain, key, partner_id, program_id, group_id
);
ALTER TABLE {database}.clicks{on_cluster} MATERIALIZE PROJECTION by_link_and_day;
CREATE VIEW {database}.clicks_daily{on_cluster} AS
SELECT
    workspace, mode, link_id, toStartOfDay(toDateTime(at, 'UTC')) AS day, domain, key, partner_id, program_id, group_id,
    toInt64(countIf(bot = '' AND duplicate_of IN (''))) AS clicks,
    toInt64(countIf(bot = '' AND duplicate_of NOT IN (''))) AS duplicates,
    toInt64(countIf(bot != '')) AS bots
FROM {database}.clicks
GROUP BY workspace, mode, link_id, day, domain, key, partner_id, program_id, group_id;

ALTER TABLE {database}.conversions{on_cluster} ADD PROJECTION IF NOT EXISTS by_hour (
    SELECT
        workspace, mode, toStartOfHour(toDateTime(at, 'UTC')) AS hour, attributed_by, reason, sale_type, currency,
        sumIf(sign * quantity, kind = 'lead'),
        sumIf(toInt64(sign), kind = 'sale'),
        sumIf(sign * amount, kind = 'sale'),
        sum(sign * commission)
    GROUP BY workspace, mode, hour, attributed_by, reason, sale_type, currency
);
ALTER TABLE {database}.conversions{on_cluster} MATERIALIZE PROJECTION by_hour;
CREATE VIEW {database}.conversions_hourly{on_cluster} AS
SELECT
    workspace, mode, toStartOfHour(toDateTime(at, 'UTC')) AS hour, attributed_by, reason, sale_type, currency,
    sumIf(raw.sign * raw.quantity, kind = 'lead') AS leads,
    sumIf(toInt64(raw.sign), kind = 'sale') AS sales,
    sumIf(raw.sign * raw.amount, kind = 'sale') AS amount,
    sum(raw.sign * raw.commission) AS commission
FROM {database}.conversions AS raw
GROUP BY workspace, mode, hour, attributed_by, reason, sale_type, currency;

ALTER TABLE {database}.refunds{on_cluster} ADD PROJECTION IF NOT EXISTS by_hour (
    SELECT
        workspace, mode, toStartOfHour(toDateTime(at, 'UTC')) AS hour, kind, sale_type, currency,
        sum(toInt64(sign)),
        sum(sign * amount),
        sum(sign * commission)
    GROUP BY workspace, mode, hour, kind, sale_type, currency
);
ALTER TABLE {database}.refunds{on_cluster} MATERIALIZE PROJECTION by_hour;
CREATE VIEW {database}.refunds_hourly{on_cluster} AS
SELECT
    workspace, mode, toStartOfHour(toDateTime(at, 'UTC')) AS hour, kind, sale_type, currency,
    sum(toInt64(raw.sign)) AS refunds,
    sum(raw.sign * raw.amount) AS amount,
    sum(raw.sign * raw.commission) AS commission
FROM {database}.refunds AS raw
GROUP BY workspace, mode, hour, kind, sale_type, currency;

ALTER TABLE {database}.commissions{on_cluster} ADD PROJECTION IF NOT EXISTS by_hour (
    SELECT
        workspace, mode, toStartOfHour(toDateTime(at, 'UTC')) AS hour, kind, state, currency,
        sum(toInt64(sign)),
        sum(sign * amount)
    GROUP BY workspace, mode, hour, kind, state, currency
);
ALTER TABLE {database}.commissions{on_cluster} MATERIALIZE PROJECTION by_hour;
CREATE VIEW {database}.commissions_hourly{on_cluster} AS
SELECT
    workspace, mode, toStartOfHour(toDateTime(at, 'UTC')) AS hour, kind, state, currency,
    sum(toInt64(raw.sign)) AS commissions,
    sum(raw.sign * raw.amount) AS amount
FROM {database}.commissions AS raw
GROUP BY workspace, mode, hour, kind, state, currency;

-- Everything that happened, by hour: a row for each source and currency, to be summed.
CREATE VIEW {database}.timeseries{on_cluster} AS
SELECT
    hour AS time, workspace, mode, '' AS currency, clicks, duplicates, bots,
    toInt64(0) AS leads, toInt64(0) AS sales, toInt64(0) AS amount,
    toInt64(0) AS refunds, toInt64(0) AS refunded, toInt64(0) AS earned
FROM {database}.clicks_hourly
UNION ALL
SELECT hour, workspace, mode, currency, 0, 0, 0, leads, sales, amount, 0, 0, 0
FROM {database}.conversions_hourly
UNION ALL
SELECT hour, workspace, mode, currency, 0, 0, 0, 0, 0, 0, refunds, amount, 0
FROM {database}.refunds_hourly
UNION ALL
SELECT hour, workspace, mode, currency, 0, 0, 0, 0, 0, 0, 0, 0, amount
FROM {database}.commissions_hourly;

-- The same by day (UTC) and link: of each link, partner, program and group.
CREATE VIEW {database}.timeseries_by_link{on_cluster} AS
SELECT
    day AS time, workspace, mode, link_id, domain, key, partner_id, program_id, group_id, '' AS currency,
    clicks, duplicates, bots,
    toInt64(0) AS leads, toInt64(0) AS sales, toInt64(0) AS amount,
    toInt64(0) AS refunds, toInt64(0) AS refunded, toInt64(0) AS earned
FROM {database}.clicks_daily
UNION ALL
SELECT
    toStartOfDay(toDateTime(at, 'UTC')), workspace, mode, link_id, domain, key, partner_id, program_id, group_id, currency,
    0, 0, 0,
    if(kind = 'lead', sign * quantity, 0), toInt64(if(kind = 'sale', sign, 0)), if(kind = 'sale', sign * amount, 0),
    0, 0, 0
FROM {database}.conversions
UNION ALL
SELECT
    toStartOfDay(toDateTime(at, 'UTC')), workspace, mode, link_id, domain, key, partner_id, program_id, group_id, currency,
    0, 0, 0, 0, 0, 0, toInt64(sign), sign * amount, 0
FROM {database}.refunds
UNION ALL
SELECT
    toStartOfDay(toDateTime(at, 'UTC')), workspace, mode, link_id, domain, key, partner_id, program_id, group_id, currency,
    0, 0, 0, 0, 0, 0, 0, 0, sign * amount
FROM {database}.commissions;

-- Clicks, leads and sales of each day of the event. A day with sales and no click has its row.
CREATE VIEW {database}.funnel{on_cluster} AS
SELECT
    toStartOfDay(raw.time) AS time, workspace, mode,
    sum(raw.clicks) AS clicks, sum(raw.leads) AS leads, sum(raw.sales) AS sales, sum(raw.amount) AS amount
FROM {database}.timeseries AS raw
GROUP BY time, workspace, mode
HAVING clicks != 0 OR leads != 0 OR sales != 0;

-- The same steps by the day of the click that earned them, and by link. seconds_to_* are sums: divide by the count.
CREATE VIEW {database}.funnel_cohort{on_cluster} AS
SELECT
    day AS time, workspace, mode, link_id, domain, partner_id, program_id, group_id, clicks,
    toInt64(0) AS leads, toInt64(0) AS sales, toInt64(0) AS amount,
    toInt64(0) AS seconds_to_lead, toInt64(0) AS seconds_to_sale
FROM {database}.clicks_daily
UNION ALL
SELECT
    toStartOfDay(toDateTime(clicked_at, 'UTC')), workspace, mode, link_id, domain, partner_id, program_id, group_id, 0,
    if(kind = 'lead', sign * quantity, 0), toInt64(if(kind = 'sale', sign, 0)), if(kind = 'sale', sign * amount, 0),
    if(kind = 'lead', sign * quantity * dateDiff('second', clicked_at, at), 0),
    if(kind = 'sale', sign * dateDiff('second', clicked_at, at), 0)
FROM {database}.conversions
WHERE click_id != '';

-- Sales that nobody earned, by day and reason.
CREATE VIEW {database}.revenue_unattributed{on_cluster} AS
SELECT
    toStartOfDay(hour) AS time, workspace, mode, reason, currency,
    sum(raw.sales) AS sales, sum(raw.amount) AS amount
FROM {database}.conversions_hourly AS raw
WHERE attributed_by IN ('', 'none')
GROUP BY time, workspace, mode, reason, currency
HAVING sales != 0 OR amount != 0;
