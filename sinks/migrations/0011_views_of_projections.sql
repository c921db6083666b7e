-- The roll-ups are read as what they are: rows of the projections, by name. Through the table ClickHouse has to find out
-- that a projection answers, which takes three times as long as to answer (ADR 0026). A part without the projection
-- would be missing here, so each is given it first. What changes for who reads: an hour or day has a row for each part of
-- the table, so that it is summed up once, by the columns that are asked for.

ALTER TABLE {database}.clicks{on_cluster} MATERIALIZE PROJECTION by_hour SETTINGS mutations_sync = 2;
ALTER TABLE {database}.clicks{on_cluster} MATERIALIZE PROJECTION by_link_and_day SETTINGS mutations_sync = 2;
ALTER TABLE {database}.conversions{on_cluster} MATERIALIZE PROJECTION by_hour SETTINGS mutations_sync = 2;
ALTER TABLE {database}.refunds{on_cluster} MATERIALIZE PROJECTION by_hour SETTINGS mutations_sync = 2;
ALTER TABLE {database}.commissions{on_cluster} MATERIALIZE PROJECTION by_hour SETTINGS mutations_sync = 2;

CREATE OR REPLACE VIEW {database}.clicks_hourly{on_cluster} AS
SELECT
    workspace, mode, `toStartOfHour(toDateTime(at, 'UTC'))` AS hour,
    toInt64(finalizeAggregation(`countIf(and(equals(bot, ''), in(duplicate_of, '')))`)) AS clicks,
    toInt64(finalizeAggregation(`countIf(and(equals(bot, ''), notIn(duplicate_of, '')))`)) AS duplicates,
    toInt64(finalizeAggregation(`countIf(notEquals(bot, ''))`)) AS bots
FROM mergeTreeProjection({database}, 'clicks', 'by_hour');

CREATE OR REPLACE VIEW {database}.clicks_daily{on_cluster} AS
SELECT
    workspace, mode, link_id, `toStartOfDay(toDateTime(at, 'UTC'))` AS day, domain, key, partner_id, program_id, group_id,
    toInt64(finalizeAggregation(`countIf(and(equals(bot, ''), in(duplicate_of, '')))`)) AS clicks,
    toInt64(finalizeAggregation(`countIf(and(equals(bot, ''), notIn(duplicate_of, '')))`)) AS duplicates,
    toInt64(finalizeAggregation(`countIf(notEquals(bot, ''))`)) AS bots
FROM mergeTreeProjection({database}, 'clicks', 'by_link_and_day');

CREATE OR REPLACE VIEW {database}.conversions_hourly{on_cluster} AS
SELECT
    workspace, mode, `toStartOfHour(toDateTime(at, 'UTC'))` AS hour, attributed_by, reason, sale_type, currency,
    finalizeAggregation(`sumIf(multiply(sign, quantity), equals(kind, 'lead'))`) AS leads,
    finalizeAggregation(`sumIf(toInt64(sign), equals(kind, 'sale'))`) AS sales,
    finalizeAggregation(`sumIf(multiply(sign, amount), equals(kind, 'sale'))`) AS amount,
    finalizeAggregation(`sum(multiply(sign, commission))`) AS commission
FROM mergeTreeProjection({database}, 'conversions', 'by_hour');

CREATE OR REPLACE VIEW {database}.refunds_hourly{on_cluster} AS
SELECT
    workspace, mode, `toStartOfHour(toDateTime(at, 'UTC'))` AS hour, kind, sale_type, currency,
    finalizeAggregation(`sum(toInt64(sign))`) AS refunds,
    finalizeAggregation(`sum(multiply(sign, amount))`) AS amount,
    finalizeAggregation(`sum(multiply(sign, commission))`) AS commission
FROM mergeTreeProjection({database}, 'refunds', 'by_hour');

CREATE OR REPLACE VIEW {database}.commissions_hourly{on_cluster} AS
SELECT
    workspace, mode, `toStartOfHour(toDateTime(at, 'UTC'))` AS hour, kind, state, currency,
    finalizeAggregation(`sum(toInt64(sign))`) AS commissions,
    finalizeAggregation(`sum(multiply(sign, amount))`) AS amount
FROM mergeTreeProjection({database}, 'commissions', 'by_hour');
