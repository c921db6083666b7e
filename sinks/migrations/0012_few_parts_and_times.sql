-- What a question costs before it reads is most of what it costs, and grows with the parts of a table (ADR 0027). A month
-- that is over becomes one part, some hours after its last row.
ALTER TABLE {database}.clicks{on_cluster} MODIFY SETTING
    min_age_to_force_merge_seconds = 14400, min_age_to_force_merge_on_partition_only = 1, enable_max_bytes_limit_for_min_age_to_force_merge = 1;
ALTER TABLE {database}.conversions{on_cluster} MODIFY SETTING
    min_age_to_force_merge_seconds = 14400, min_age_to_force_merge_on_partition_only = 1, enable_max_bytes_limit_for_min_age_to_force_merge = 1;
ALTER TABLE {database}.refunds{on_cluster} MODIFY SETTING
    min_age_to_force_merge_seconds = 14400, min_age_to_force_merge_on_partition_only = 1, enable_max_bytes_limit_for_min_age_to_force_merge = 1;
ALTER TABLE {database}.commissions{on_cluster} MODIFY SETTING
    min_age_to_force_merge_seconds = 14400, min_age_to_force_merge_on_partition_only = 1, enable_max_bytes_limit_for_min_age_to_force_merge = 1;

-- The month of a part, to read no others: a part of sums does not know which hours it has before it is read.
CREATE OR REPLACE VIEW {database}.clicks_hourly{on_cluster} AS
SELECT
    workspace, mode, _partition_id AS month, `toStartOfHour(toDateTime(at, 'UTC'))` AS hour,
    toInt64(finalizeAggregation(`countIf(and(equals(bot, ''), in(duplicate_of, '')))`)) AS clicks,
    toInt64(finalizeAggregation(`countIf(and(equals(bot, ''), notIn(duplicate_of, '')))`)) AS duplicates,
    toInt64(finalizeAggregation(`countIf(notEquals(bot, ''))`)) AS bots
FROM mergeTreeProjection({database}, 'clicks', 'by_hour');

CREATE OR REPLACE VIEW {database}.clicks_daily{on_cluster} AS
SELECT
    workspace, mode, _partition_id AS month, link_id, `toStartOfDay(toDateTime(at, 'UTC'))` AS day,
    domain, key, partner_id, program_id, group_id,
    toInt64(finalizeAggregation(`countIf(and(equals(bot, ''), in(duplicate_of, '')))`)) AS clicks,
    toInt64(finalizeAggregation(`countIf(and(equals(bot, ''), notIn(duplicate_of, '')))`)) AS duplicates,
    toInt64(finalizeAggregation(`countIf(notEquals(bot, ''))`)) AS bots
FROM mergeTreeProjection({database}, 'clicks', 'by_link_and_day');

CREATE OR REPLACE VIEW {database}.conversions_hourly{on_cluster} AS
SELECT
    workspace, mode, _partition_id AS month, `toStartOfHour(toDateTime(at, 'UTC'))` AS hour,
    attributed_by, reason, sale_type, currency,
    finalizeAggregation(`sumIf(multiply(sign, quantity), equals(kind, 'lead'))`) AS leads,
    finalizeAggregation(`sumIf(toInt64(sign), equals(kind, 'sale'))`) AS sales,
    finalizeAggregation(`sumIf(multiply(sign, amount), equals(kind, 'sale'))`) AS amount,
    finalizeAggregation(`sum(multiply(sign, commission))`) AS commission
FROM mergeTreeProjection({database}, 'conversions', 'by_hour');

CREATE OR REPLACE VIEW {database}.refunds_hourly{on_cluster} AS
SELECT
    workspace, mode, _partition_id AS month, `toStartOfHour(toDateTime(at, 'UTC'))` AS hour, kind, sale_type, currency,
    finalizeAggregation(`sum(toInt64(sign))`) AS refunds,
    finalizeAggregation(`sum(multiply(sign, amount))`) AS amount,
    finalizeAggregation(`sum(multiply(sign, commission))`) AS commission
FROM mergeTreeProjection({database}, 'refunds', 'by_hour');

CREATE OR REPLACE VIEW {database}.commissions_hourly{on_cluster} AS
SELECT
    workspace, mode, _partition_id AS month, `toStartOfHour(toDateTime(at, 'UTC'))` AS hour, kind, state, currency,
    finalizeAggregation(`sum(toInt64(sign))`) AS commissions,
    finalizeAggregation(`sum(multiply(sign, amount))`) AS amount
FROM mergeTreeProjection({database}, 'commissions', 'by_hour');

-- Medians of times to convert from sums: days have few times that differ by more than one part in thirty-two.
ALTER TABLE {database}.conversions{on_cluster}
    ADD COLUMN IF NOT EXISTS `step` LowCardinality(String)
        MATERIALIZED if(click_id != '' AND attributed_by NOT IN ('', 'none') AND sale_type NOT IN ('recurring'), kind, '')
        COMMENT 'kind of a conversion that a click led to, a step of the funnel; empty for renewals and what no click earned',
    ADD COLUMN IF NOT EXISTS `to_convert` Int64
        MATERIALIZED if(step = '', 0, toInt64(
            greatest(intDiv(toUnixTimestamp64Milli(at) - toUnixTimestamp64Milli(clicked_at), 1000), 0)
            - greatest(intDiv(toUnixTimestamp64Milli(at) - toUnixTimestamp64Milli(clicked_at), 1000), 0) % intExp2(greatest(toInt32(log2(
                greatest(intDiv(toUnixTimestamp64Milli(at) - toUnixTimestamp64Milli(clicked_at), 1000), 1))), 5) - 5)))
        COMMENT 'seconds from the click to a step, its six leading binary digits: up to 1/32 less than the time itself'
    SETTINGS mutations_sync = 2;
ALTER TABLE {database}.conversions{on_cluster} ADD PROJECTION IF NOT EXISTS by_day_and_time (
    SELECT
        workspace, mode, toStartOfDay(toDateTime(at, 'UTC')) AS day, kind, step, to_convert,
        sum(toInt64(sign))
    GROUP BY workspace, mode, day, kind, step, to_convert
);
ALTER TABLE {database}.conversions{on_cluster} MATERIALIZE PROJECTION by_day_and_time SETTINGS mutations_sync = 2;

CREATE OR REPLACE VIEW {database}.conversions_by_time{on_cluster} AS
SELECT
    workspace, mode, _partition_id AS month, `toStartOfDay(toDateTime(at, 'UTC'))` AS day, kind, step, to_convert,
    finalizeAggregation(`sum(toInt64(sign))`) AS conversions
FROM mergeTreeProjection({database}, 'conversions', 'by_day_and_time');

-- A key or ID is sought in one granule of 8,192 rows, not in four and in every hundredth of all others. Customers of a
-- page of events are sought by a hundred at once. New names: a part of an old backup has files of the old ones.
ALTER TABLE {database}.conversions{on_cluster}
    ADD INDEX IF NOT EXISTS with_id id TYPE bloom_filter(0.0001) GRANULARITY 1,
    ADD INDEX IF NOT EXISTS with_key keys TYPE bloom_filter(0.0001) GRANULARITY 1,
    ADD INDEX IF NOT EXISTS with_customer customer TYPE bloom_filter(0.0001) GRANULARITY 1;
ALTER TABLE {database}.conversions{on_cluster} MATERIALIZE INDEX with_id SETTINGS mutations_sync = 2;
ALTER TABLE {database}.conversions{on_cluster} MATERIALIZE INDEX with_key SETTINGS mutations_sync = 2;
ALTER TABLE {database}.conversions{on_cluster} MATERIALIZE INDEX with_customer SETTINGS mutations_sync = 2;
ALTER TABLE {database}.conversions{on_cluster} DROP INDEX IF EXISTS by_id, DROP INDEX IF EXISTS by_key;
ALTER TABLE {database}.refunds{on_cluster}
    ADD INDEX IF NOT EXISTS with_id id TYPE bloom_filter(0.0001) GRANULARITY 1,
    ADD INDEX IF NOT EXISTS with_key keys TYPE bloom_filter(0.0001) GRANULARITY 1;
ALTER TABLE {database}.refunds{on_cluster} MATERIALIZE INDEX with_id SETTINGS mutations_sync = 2;
ALTER TABLE {database}.refunds{on_cluster} MATERIALIZE INDEX with_key SETTINGS mutations_sync = 2;
ALTER TABLE {database}.refunds{on_cluster} DROP INDEX IF EXISTS by_id, DROP INDEX IF EXISTS by_key;
ALTER TABLE {database}.commissions{on_cluster}
    ADD INDEX IF NOT EXISTS with_id id TYPE bloom_filter(0.0001) GRANULARITY 1,
    ADD INDEX IF NOT EXISTS with_key keys TYPE bloom_filter(0.0001) GRANULARITY 1;
ALTER TABLE {database}.commissions{on_cluster} MATERIALIZE INDEX with_id SETTINGS mutations_sync = 2;
ALTER TABLE {database}.commissions{on_cluster} MATERIALIZE INDEX with_key SETTINGS mutations_sync = 2;
ALTER TABLE {database}.commissions{on_cluster} DROP INDEX IF EXISTS by_id, DROP INDEX IF EXISTS by_key;
