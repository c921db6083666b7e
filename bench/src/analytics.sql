-- Years of an installation, made by ClickHouse itself; every row is a function of its number. {first} and {count} are of
-- this part, {all} of the whole, {anchor} is the end. Half of it is one workspace's, which has 10,000 links; 49 others
-- have 200 each. Links are clicked by a power law and stand on a few pages each; times are in order, as they come. IDs
-- and visitors are as random as real ones, so that they take as much room.

INSERT INTO clicks (id, workspace, mode, at, link_id, domain, key, url, partner_id, program_id, group_id, trigger, country,
    region, city, continent, device, browser, os, referer, referer_url, utm_source, utm_medium, utm_campaign, bot, tracked,
    visitor, duplicate_of, received, kafka_partition, kafka_offset)
WITH
    cityHash64(number) AS h,
    sipHash64(number) AS g,
    fromUnixTimestamp64Milli({anchor} - toInt64((1 - number / {all}) * 365 * 86400000), 'UTC') AS time,
    if(h % 2 = 0, 'acme', concat('ws_', toString(h % 49))) AS owner,
    toUInt32(if(owner = 'acme', 10000, 200) * pow(h % 1000003 / 1000003, 3)) AS link,
    cityHash64(intDiv(number * 10, 13), 'visitor') AS person,
    person % 60 AS place,
    cityHash64(owner, link, g % 5) % 2000 AS site,
    substring(base58Encode(reinterpretAsString(byteSwap(toUInt64(toUnixTimestamp64Milli(time) * 65536)))), 1, 8) AS ordered,
    concat(ordered, substring(base58Encode(reinterpretAsString(g)), 2, 8)) AS click
SELECT
    click, owner, 'live', time, concat('link_', lower(hex(cityHash64(owner, link, 'id')))), concat('go.', owner, '.example'),
    substring(base58Encode(reinterpretAsString(cityHash64(owner, link, 'key'))), 1, 8),
    concat('https://', owner, '.example/products/', toString(link % 500), '?utm_source=partner&utm_medium=affiliate'),
    concat('partner_', toString(link % 2000)), concat('program_', toString(link % 3)), concat('group_', toString(link % 5)),
    ['link', 'link', 'link', 'link', 'qr', 'script'][1 + h % 6],
    concat(char(65 + place % 26), char(65 + intDiv(place, 3))), concat('R-', toString(place), '-', toString(person % 7)),
    concat('City ', toString(person % 1200)), ['EU', 'NA', 'AS', 'SA', 'AF', 'OC'][1 + place % 6],
    ['mobile', 'desktop', 'mobile', 'desktop', 'tablet'][1 + person % 5],
    ['Chrome', 'Safari', 'Chrome', 'Firefox', 'Edge', 'Samsung Internet'][1 + intDiv(person, 7) % 6],
    ['Android', 'iOS', 'Windows', 'Mac OS', 'Linux'][1 + intDiv(person, 11) % 5],
    if(h % 3 = 0, '(direct)', concat('site', toString(site), '.example')),
    if(h % 3 = 0, '(direct)', concat('https://site', toString(site), '.example/page/', toString(intDiv(g, 5) % 3))),
    'partner', 'affiliate', concat('campaign_', toString(link % 40)),
    if(h % 17 = 0, 'list', ''), true,
    lower(substring(leftPad(hex(person), 16, '0'), 1, 12)), if(h % 23 = 0, click, ''), time + 3, number % 32, intDiv(number, 32)
FROM numbers({first}, {count});

INSERT INTO conversions (id, revision, sign, workspace, mode, kind, at, object, keys, customer, event_name, status, amount,
    currency, original_amount, original_currency, quantity, sale_type, billing, source, attributed_by, reason, rule, commission,
    click_id, clicked_at, link_id, domain, key, url, partner_id, program_id, group_id, coupon, trigger, country, region, city,
    continent, device, browser, os, referer, utm_source, utm_medium, utm_campaign, explanation, kafka_partition, kafka_offset)
WITH
    number * 20 AS click_number,
    cityHash64(click_number) AS h,
    cityHash64(number, 'conversion') AS c,
    fromUnixTimestamp64Milli({anchor} - toInt64((1 - click_number / {all}) * 365 * 86400000), 'UTC') AS clicked,
    if(h % 2 = 0, 'acme', concat('ws_', toString(h % 49))) AS owner,
    toUInt32(if(owner = 'acme', 10000, 200) * pow(h % 1000003 / 1000003, 3)) AS link,
    cityHash64(intDiv(click_number * 10, 13), 'visitor') AS person,
    person % 60 AS place,
    c % 5 < 3 AS is_lead,
    c % 11 = 0 AS nobody,
    1000 + intDiv(c, 13) % 20000 AS price,
    -- A time after the click, and not after the end.
    least(clicked + toIntervalSecond(60 + intDiv(c, 7) % 500000), fromUnixTimestamp64Milli({anchor}, 'UTC') - 1) AS time
SELECT
    concat(if(is_lead, 'lead_', 'sale_'), lower(hex(c))), 1, 1, owner, 'live', if(is_lead, 'lead', 'sale'), time, concat('in:in_', lower(hex(c))),
    if(is_lead, [], [concat('in:in_', lower(hex(c))), concat('pi:pi_', lower(hex(c)))]), concat('user_', toString(intDiv(number, 3))),
    if(is_lead, 'Sign up', 'Invoice paid'), 'approved', if(is_lead, 0, price), if(is_lead, '', 'usd'), if(is_lead, 0, price),
    if(is_lead, '', 'usd'), 1, if(is_lead, '', if(c % 4 = 0, 'recurring', 'new')), if(is_lead, '', 'renewal'), 'stripe',
    multiIf(nobody, 'none', c % 9 = 0, 'coupon', 'click'), if(nobody, 'outside_window', ''), 'C3',
    if(is_lead OR nobody, 0, intDiv(price, 5)), if(nobody, '', lower(hex(h))), if(nobody, toDateTime64(0, 3, 'UTC'), clicked),
    if(nobody, '', concat('link_', lower(hex(cityHash64(owner, link, 'id'))))),
    if(nobody, '', concat('go.', owner, '.example')), '', '',
    if(nobody, '', concat('partner_', toString(link % 2000))), if(nobody, '', concat('program_', toString(link % 3))),
    if(nobody, '', concat('group_', toString(link % 5))), if(c % 9 = 0 AND NOT nobody, concat('CODE', toString(link % 500)), ''),
    if(nobody, '', 'link'), if(nobody, '', concat(char(65 + place % 26), char(65 + intDiv(place, 3)))), '',
    if(nobody, '', concat('City ', toString(person % 1200))), if(nobody, '', ['EU', 'NA', 'AS', 'SA', 'AF', 'OC'][1 + place % 6]),
    if(nobody, '', ['mobile', 'desktop', 'mobile', 'desktop', 'tablet'][1 + person % 5]),
    ['Chrome', 'Safari', 'Chrome', 'Firefox', 'Edge', 'Samsung Internet'][1 + intDiv(person, 7) % 6], 'iOS', '(direct)', 'partner', 'affiliate',
    concat('campaign_', toString(link % 40)), '{"rule":"C3","touches":[{"kind":"click","won":true}]}', number % 8, intDiv(number, 8)
FROM numbers(toUInt64({first} / 20), toUInt64({count} / 20));

INSERT INTO commissions (id, revision, sign, workspace, mode, kind, at, object, keys, conversion_id, customer, amount, currency,
    state, due_at, reward_id, link_id, domain, partner_id, program_id, group_id, coupon, country, device, trigger)
SELECT concat('com_', id), 1, 1, workspace, mode, 'sale', at, object, keys, id, customer, commission, currency,
    if(cityHash64(id) % 3 = 0, 'approved', 'pending'), at + toIntervalDay(30), 'base', link_id, domain, partner_id, program_id,
    group_id, coupon, country, device, trigger
FROM conversions WHERE commission != 0 AND kafka_offset * 8 + kafka_partition >= {first} / 20
    AND kafka_offset * 8 + kafka_partition < ({first} + {count}) / 20;

INSERT INTO refunds (id, revision, sign, workspace, mode, kind, at, object, keys, conversion_id, customer, status, amount,
    currency, original_amount, original_currency, commission, sale_type, link_id, domain, partner_id, program_id, group_id,
    coupon, country, device, trigger)
SELECT concat('re_', id), 1, 1, workspace, mode, 'refund', at + toIntervalHour(30), concat('re:', id), keys, id, customer,
    'succeeded', intDiv(amount, 2), currency, intDiv(amount, 2), currency, intDiv(commission, 2), sale_type, link_id, domain,
    partner_id, program_id, group_id, coupon, country, device, trigger
FROM conversions WHERE kind = 'sale' AND cityHash64(id) % 25 = 0 AND kafka_offset * 8 + kafka_partition >= {first} / 20
    AND kafka_offset * 8 + kafka_partition < ({first} + {count}) / 20
    AND at < fromUnixTimestamp64Milli({anchor}, 'UTC') - toIntervalHour(30);
