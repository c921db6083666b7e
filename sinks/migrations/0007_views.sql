-- Views for people and dashboards: plain DateTime in UTC, no NULL, money in minor units of currency.

-- Everything that happened, by hour: one wide row per key and source, to be summed.
CREATE VIEW {database}.timeseries{on_cluster} AS
SELECT
    hour AS time, workspace, mode, link_id, domain, partner_id, program_id, group_id, '' AS coupon, country, device,
    trigger, '' AS currency, clicks, duplicates, bots,
    toInt64(0) AS leads, toInt64(0) AS sales, toInt64(0) AS amount,
    toInt64(0) AS refunds, toInt64(0) AS refunded, toInt64(0) AS earned
FROM {database}.clicks_hourly
UNION ALL
SELECT
    hour, workspace, mode, link_id, domain, partner_id, program_id, group_id, coupon, country, device,
    trigger, currency, 0, 0, 0,
    leads, sales, amount,
    0, 0, 0
FROM {database}.conversions_hourly
UNION ALL
SELECT
    hour, workspace, mode, link_id, domain, partner_id, program_id, group_id, coupon, country, device,
    trigger, currency, 0, 0, 0,
    0, 0, 0,
    refunds, amount, 0
FROM {database}.refunds_hourly
UNION ALL
SELECT
    hour, workspace, mode, link_id, domain, partner_id, program_id, group_id, coupon, country, device,
    trigger, currency, 0, 0, 0,
    0, 0, 0,
    0, 0, amount
FROM {database}.commissions_hourly;

-- Clicks, leads and sales of each day of the event, by link and partner. A day with sales and no click has its row.
CREATE VIEW {database}.funnel{on_cluster} AS
SELECT
    toStartOfDay(raw.time) AS time, workspace, mode, link_id, partner_id, program_id, coupon, country, device,
    sum(raw.clicks) AS clicks, sum(raw.leads) AS leads, sum(raw.sales) AS sales, sum(raw.amount) AS amount
FROM {database}.timeseries AS raw
GROUP BY time, workspace, mode, link_id, partner_id, program_id, coupon, country, device
HAVING clicks != 0 OR leads != 0 OR sales != 0;

-- The same steps by the day of the click that earned them. seconds_to_* are sums: divide them by the count.
CREATE VIEW {database}.funnel_cohort{on_cluster} AS
SELECT
    time, workspace, mode, link_id, partner_id, program_id, country, device,
    sum(raw.clicks) AS clicks,
    sum(raw.leads) AS leads,
    sum(raw.sales) AS sales,
    sum(raw.amount) AS amount,
    sum(raw.seconds_to_lead) AS seconds_to_lead,
    sum(raw.seconds_to_sale) AS seconds_to_sale
FROM (
    SELECT
        toStartOfDay(hour) AS time, workspace, mode, link_id, partner_id, program_id, country, device,
        clicks, toInt64(0) AS leads, toInt64(0) AS sales, toInt64(0) AS amount,
        toInt64(0) AS seconds_to_lead, toInt64(0) AS seconds_to_sale
    FROM {database}.clicks_hourly
    UNION ALL
    SELECT
        toStartOfDay(toDateTime(clicked_at, 'UTC')), workspace, mode, link_id, partner_id, program_id, country, device,
        0, if(kind = 'lead', sign * quantity, 0), if(kind = 'sale', sign, 0), if(kind = 'sale', sign * amount, 0),
        if(kind = 'lead', sign * quantity * dateDiff('second', clicked_at, at), 0),
        if(kind = 'sale', sign * dateDiff('second', clicked_at, at), 0)
    FROM {database}.conversions
    WHERE click_id != ''
) AS raw
GROUP BY time, workspace, mode, link_id, partner_id, program_id, country, device
HAVING clicks != 0 OR leads != 0 OR sales != 0;

-- What each partner has earned, by state. due is what may be paid at the time of the query.
CREATE VIEW {database}.partner_balance{on_cluster} AS
SELECT
    workspace, mode, program_id, partner_id, currency,
    sum(raw.sign * raw.amount) AS earned,
    sumIf(raw.sign * raw.amount, state = 'pending') AS pending,
    sumIf(raw.sign * raw.amount, state = 'approved') AS approved,
    sumIf(raw.sign * raw.amount, state = 'withheld') AS withheld,
    sumIf(raw.sign * raw.amount, state = 'paid') AS paid,
    sumIf(raw.sign * raw.amount, state = 'reversed') AS reversed,
    sumIf(raw.sign * raw.amount, state IN ('pending', 'approved') AND due_at <= now64(3)) AS due,
    sumIf(raw.sign * raw.amount, state IN ('pending', 'approved')) AS balance,
    toDateTime(max(raw.at), 'UTC') AS time
FROM {database}.commissions AS raw
GROUP BY workspace, mode, program_id, partner_id, currency
HAVING sum(raw.sign) != 0 OR earned != 0;

-- What each customer has paid so far and what went back.
CREATE VIEW {database}.customer_ltv{on_cluster} AS
SELECT
    workspace, mode, customer, currency,
    toDateTime(minIf(raw.at, raw.sales != 0), 'UTC') AS first_sale,
    toDateTime(max(raw.at), 'UTC') AS time,
    sum(raw.sales) AS sales,
    sum(raw.amount) AS amount,
    sum(raw.refunded) AS refunded,
    amount - refunded AS net,
    argMaxIf(raw.partner_id, raw.at, raw.sales != 0) AS partner_id
FROM (
    SELECT workspace, mode, customer, currency, at, partner_id, toInt64(1) AS sales, amount, toInt64(0) AS refunded
    FROM {database}.conversions_current
    WHERE kind = 'sale' AND customer != ''
    UNION ALL
    SELECT workspace, mode, customer, currency, at, partner_id, 0, 0, amount
    FROM {database}.refunds_current
    WHERE customer != ''
) AS raw
GROUP BY workspace, mode, customer, currency;

-- Sales that nobody earned, by day and reason.
CREATE VIEW {database}.revenue_unattributed{on_cluster} AS
SELECT
    toStartOfDay(hour) AS time, workspace, mode, reason, currency,
    sum(raw.sales) AS sales, sum(raw.amount) AS amount
FROM {database}.conversions_hourly AS raw
WHERE attributed_by IN ('', 'none')
GROUP BY time, workspace, mode, reason, currency
HAVING sales != 0 OR amount != 0;
