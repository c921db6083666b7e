-- Read it with FINAL: one row for each customer that has something to show. What was overwritten goes at the next merge.
CREATE TABLE {database}.people{on_cluster} (
    `workspace`  LowCardinality(String) COMMENT 'workspace ID',
    `mode`       LowCardinality(String) COMMENT 'live, test or sandbox name',
    `customer`   String                 COMMENT 'customer as one statement names it, see customer of conversions',
    `name`       String                 COMMENT 'name as told; empty if untold',
    `email`      String                 COMMENT 'e-mail address as told; empty if untold',
    `avatar`     String                 COMMENT 'address of a picture as told; empty if untold',
    `at`         DateTime64(3, 'UTC')   COMMENT 'time of the statement, UTC, milliseconds',
    `version`    UInt64                 COMMENT 'Kafka offset: the latest row of a customer stands',
    `is_deleted` UInt8                  COMMENT '1: nothing is to be shown of the customer any more'
)
ENGINE = {engine:ReplacingMergeTree}(version, is_deleted)
ORDER BY (workspace, mode, customer)
COMMENT 'What customers are shown by. No other table has names or addresses, and no number depends on it.';
