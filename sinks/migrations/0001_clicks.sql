CREATE TABLE {database}.clicks{on_cluster} (
    `id`              String                 COMMENT 'click ID: 16 characters [0-9A-Za-z], time-ordered',
    `workspace`       LowCardinality(String) COMMENT 'workspace ID',
    `mode`            LowCardinality(String) COMMENT 'live, test or sandbox name of the link',
    `at`              DateTime64(3, 'UTC')   COMMENT 'event time, UTC, milliseconds',
    `link_id`         String                 COMMENT 'link that was clicked; empty for a click without link',
    `domain`          LowCardinality(String) COMMENT 'host of the short link',
    `key`             String                 COMMENT 'path of the short link without the leading slash',
    `url`             String                 COMMENT 'destination without click parameters',
    `partner_id`      LowCardinality(String) COMMENT 'partner of the link at the time of the click; empty if none',
    `program_id`      LowCardinality(String) COMMENT 'program of the link at the time of the click; empty if none',
    `group_id`        LowCardinality(String) COMMENT 'partner group at the time of the click; empty if none',
    `trigger`         LowCardinality(String) COMMENT 'what made the click: link, qr, script, api, deeplink',
    `country`         LowCardinality(String) COMMENT 'ISO 3166-1 alpha-2, upper case; empty if unknown',
    `region`          LowCardinality(String) COMMENT 'ISO 3166-2 subdivision, e.g. US-CA; empty if unknown',
    `city`            LowCardinality(String) COMMENT 'city name in English; empty if unknown',
    `continent`       LowCardinality(String) COMMENT 'two-letter continent code; empty if unknown',
    `device`          LowCardinality(String) COMMENT 'desktop, mobile, tablet, console, smarttv, wearable or empty',
    `browser`         LowCardinality(String) COMMENT 'browser family; empty if unknown',
    `os`              LowCardinality(String) COMMENT 'operating system family; empty if unknown',
    `referer`         LowCardinality(String) COMMENT 'host of the referring page; (direct) if none',
    `referer_url`     String                 COMMENT 'referring URL without query; (direct) if none',
    `utm_source`      LowCardinality(String) COMMENT 'utm_source of the destination',
    `utm_medium`      LowCardinality(String) COMMENT 'utm_medium of the destination',
    `utm_campaign`    LowCardinality(String) COMMENT 'utm_campaign of the destination',
    `utm_term`        LowCardinality(String) COMMENT 'utm_term of the destination',
    `utm_content`     LowCardinality(String) COMMENT 'utm_content of the destination',
    `bot`             LowCardinality(String) COMMENT 'reason why the click is taken for a machine (list, head, prefetch, data_center); empty for people',
    `tracked`         Bool                   COMMENT 'conversion tracking is on for the link: its leads and sales count',
    `visitor`         String                 COMMENT 'hash of address and user agent under a daily rotating salt, hex',
    `duplicate_of`    String                 COMMENT 'first click of the same visitor and link within an hour; empty if this is the first',
    `received`        DateTime64(3, 'UTC')   COMMENT 'time the edge accepted the request, UTC, milliseconds',
    `kafka_partition` Int32                  COMMENT 'partition of the record that the row comes from',
    `kafka_offset`    Int64                  COMMENT 'offset of the record that the row comes from',
    INDEX kafka_position (kafka_partition, kafka_offset) TYPE minmax GRANULARITY 1,
    INDEX by_id id TYPE bloom_filter(0.01) GRANULARITY 4
)
ENGINE = {engine:MergeTree}
PARTITION BY toYYYYMM(at)
ORDER BY (workspace, mode, at, id)
SETTINGS non_replicated_deduplication_window = {deduplication_window},
         replicated_deduplication_window = {deduplication_window}
COMMENT 'One row a click, as the edge accepted it. Bots and duplicates stand here too, tagged.';
