-- A ledger for the tests of the dashboard: {clicks} clicks in the {days} days before {anchor} and what became of them.
-- Everything is a function of the row number: the same figures in every run. It has revisions that change partner and
-- time, entries that are taken back for good, bots, duplicates, ties in time, renewals, refunds, two modes.

INSERT INTO {database}.clicks (id, workspace, mode, at, link_id, domain, key, url, partner_id, program_id, group_id,
    trigger, country, region, city, continent, device, browser, os, referer, referer_url, utm_source, bot, tracked,
    visitor, duplicate_of, received)
WITH
    cityHash64(number, 'time') AS h,
    cityHash64(number, 'who') AS w,
    cityHash64(number, 'where') AS g,
    toUInt32(floor({days} * sqrt((h % 1000000) / 1000000))) AS day,
    [0,1,5,6,7,7,8,8,8,9,9,9,9,10,10,10,11,11,12,12,13,13,13,14,14,14,15,15,16,16,17,18,19,19,20,20,21,21,22,23] AS hours,
    hours[1 + intDiv(h, 1000000) % 40] AS hour,
    -- A third on the whole minute: ties.
    if(h % 3 = 0, intDiv(h, 7) % 60 * 60000, intDiv(h, 11) % 3600000) AS ms,
    ['pn_lena','pn_lena','pn_lena','pn_devcast','pn_devcast','pn_makerhub','pn_northwind',''] AS partners,
    ['lnk_lena','lnk_lena_yt','lnk_lena','lnk_devcast','lnk_devcast','lnk_makerhub','lnk_northwind','lnk_home'] AS links,
    ['lena','lena-yt','lena','devcast','devcast','makers','northwind','home'] AS link_keys,
    1 + w % 8 AS p,
    ['US','US','US','DE','DE','GB','FR','IN','BR','JP',''] AS countries,
    ['US-CA','US-NY','US-CA','DE-BE','DE-BY','GB-ENG','FR-IDF','IN-KA','BR-SP','JP-13',''] AS regions,
    ['San Francisco','New York','Los Angeles','Berlin','Munich','London','Paris','Bengaluru','São Paulo','Tokyo',''] AS cities,
    ['NA','NA','NA','EU','EU','EU','EU','AS','SA','AS',''] AS continents,
    1 + g % 11 AS c,
    toStartOfDay(toDateTime64('{anchor}', 3, 'UTC') - toIntervalDay({days} - 1 - day)) + toIntervalMillisecond(hour * 3600000 + ms) AS at
SELECT
    concat(leftPad(lower(hex(number)), 8, '0'), substring(lower(hex(h)), 1, 8)),
    'ws_acme', if(number % 50 = 0, 'test', 'live'),
    at,
    links[p], 'go.acme.test', link_keys[p], 'https://acme.test/pricing', partners[p],
    if(partners[p] = '', '', 'prog_main'), if(p <= 3, 'grp_creators', if(partners[p] = '', '', 'grp_default')),
    ['link','link','link','qr','script'][1 + w % 5],
    countries[c], regions[c], cities[c], continents[c],
    ['desktop','desktop','mobile','mobile','tablet'][1 + intDiv(g, 11) % 5],
    ['Chrome','Safari','Firefox','Edge'][1 + intDiv(g, 13) % 4], ['Windows','macOS','iOS','Android'][1 + intDiv(g, 17) % 4],
    ['(direct)','youtube.com','news.ycombinator.com','x.com'][1 + intDiv(g, 19) % 4], '(direct)',
    ['','newsletter','youtube'][1 + intDiv(g, 23) % 3],
    if(h % 29 = 0, 'list', ''), true, lower(hex(w)), if(h % 23 = 0, 'first', ''), at
FROM numbers({clicks})
WHERE at < toDateTime64('{anchor}', 3, 'UTC');

-- Leads: one click in fourteen, a few minutes to days later. h1 decides on revisions:
-- 0: told without its click first, an hour earlier and for nobody; 1: taken back for good; else one revision.
INSERT INTO {database}.conversions (id, revision, sign, workspace, mode, kind, at, object, keys, customer, event_name,
    status, quantity, source, attributed_by, reason, rule, click_id, clicked_at, link_id, domain, key, url, partner_id,
    program_id, group_id, trigger, country, region, city, continent, device, browser, os, referer, referer_url,
    utm_source, explanation)
WITH
    cityHash64(id, 'lead') AS h, intDiv(h, 1000) % 12 AS h1, intDiv(h, 13) % 1000000 / 1000000 AS u,
    arrayJoin(multiIf(h1 = 0, [(1, 1), (1, -1), (2, 1)], h1 = 1, [(1, 1), (1, -1)], [(1, 1)])) AS emission,
    emission.1 = 1 AND h1 = 0 AS orphan,
    toDateTime64(toStartOfSecond(at + toIntervalSecond(40 + toUInt32(200000 * pow(u, 6)))), 3, 'UTC') AS told
SELECT
    concat('lead_', id), emission.1, emission.2, workspace, mode, 'lead',
    told - toIntervalHour(orphan),
    concat('lead:ext:', id, '/sign up'), [concat('lead:ext:', id, '/sign up')], concat('user_', substring(id, 4, 5)), 'Sign up',
    'approved', if(h % 17 = 0, 3, 1), 'api', if(orphan, 'none', 'click'), if(orphan, 'click_not_found', ''), 'C3',
    if(orphan, '', id), if(orphan, toDateTime64(0, 3, 'UTC'), at), if(orphan, '', link_id), if(orphan, '', domain),
    if(orphan, '', key), if(orphan, '', url), if(orphan, '', partner_id), if(orphan, '', program_id), if(orphan, '', group_id),
    if(orphan, '', toString(trigger)), if(orphan, '', country), if(orphan, '', region), if(orphan, '', city),
    if(orphan, '', continent), if(orphan, '', device), if(orphan, '', browser), if(orphan, '', os),
    if(orphan, '', referer), if(orphan, '', referer_url), if(orphan, '', utm_source),
    if(emission.2 = 1, '{"rule":"C3","chosen":"click"}', '')
FROM {database}.clicks AS c
WHERE bot = '' AND duplicate_of = '' AND partner_id != '' AND h % 14 = 0 AND told < toDateTime64('{anchor}', 3, 'UTC');

-- Sales: two leads in five buy within days, some by coupon, some again after a month; one in sixteen for nobody.
INSERT INTO {database}.conversions (id, revision, sign, workspace, mode, kind, at, object, keys, customer, event_name,
    status, amount, currency, original_amount, original_currency, quantity, sale_type, billing, source, attributed_by,
    reason, rule, commission, click_id, clicked_at, link_id, domain, key, url, partner_id, program_id, group_id, coupon,
    trigger, country, region, city, continent, device, browser, os, referer, referer_url, utm_source,
    `lines.product`, `lines.quantity`, `lines.amount`, `lines.commission`, `lines.reward_id`, explanation)
WITH
    cityHash64(lead.id, 'sale') AS h, intDiv(h, 1000) % 10 AS h1, intDiv(h, 13) % 1000000 / 1000000 AS u,
    [1900, 2900, 4900, 9900, 19900][1 + intDiv(h, 31) % 5] AS price,
    arrayJoin(if(intDiv(h, 37) % 3 = 0, [0, 1, 2], [0])) AS month,
    arrayJoin(multiIf(h1 = 0, [(1, 1), (1, -1), (2, 1)], h1 = 1 AND month = 0, [(1, 1), (1, -1)], [(1, 1)])) AS emission,
    (h1 = 0 AND emission.1 = 1) OR intDiv(h, 41) % 16 = 0 AS nobody,
    toDateTime64(toStartOfSecond(lead.at + toIntervalSecond(toUInt32(900000 * pow(u, 4))) + toIntervalDay(30 * month)), 3, 'UTC') AS paid,
    if(emission.1 = 2, price - 400, price) AS net,
    concat('in_', substring(lead.id, 6, 12), toString(month)) AS invoice
SELECT
    concat('sale_', substring(lead.id, 6), toString(month)), emission.1, emission.2, workspace, mode, 'sale',
    paid, concat('in:', invoice), [concat('in:', invoice), concat('pi:pi_', substring(invoice, 4)), concat('ch:ch_', substring(invoice, 4))],
    customer, if(month = 0, 'Subscription creation', 'Invoice paid'), 'approved', net, 'usd', net, 'usd', 1,
    if(month = 0, 'new', 'recurring'), if(month = 0, 'new_subscription', 'renewal'), 'stripe',
    multiIf(nobody, 'none', h % 6 = 0, 'coupon', 'click'),
    if(nobody, ['no_identity', 'identity_without_touch', 'outside_window', 'unknown_coupon'][1 + intDiv(h, 43) % 4], ''),
    if(h % 6 = 0, 'C5', 'C3'), if(nobody, 0, intDiv(net * 30, 100)),
    if(nobody, '', click_id), if(nobody, toDateTime64(0, 3, 'UTC'), clicked_at), if(nobody, '', link_id),
    if(nobody, '', domain), if(nobody, '', key), if(nobody, '', url), if(nobody, '', partner_id), if(nobody, '', program_id),
    if(nobody, '', group_id), if(nobody OR h % 6 != 0, '', 'LENA20'), if(nobody, '', toString(trigger)), if(nobody, '', country),
    if(nobody, '', region), if(nobody, '', city), if(nobody, '', continent), if(nobody, '', device), if(nobody, '', browser),
    if(nobody, '', os), if(nobody, '', referer), if(nobody, '', referer_url), if(nobody, '', utm_source),
    ['prod_gold'], [1], [net], [if(nobody, 0, intDiv(net * 30, 100))], [if(nobody, '', 'rw_sale')],
    if(emission.2 = 1, '{"rule":"C3","touches":[{"kind":"click","won":true}]}', '')
FROM {database}.conversions_current AS lead
WHERE kind = 'lead' AND h % 5 < 2 AND paid < toDateTime64('{anchor}', 3, 'UTC');

INSERT INTO {database}.commissions (id, revision, sign, workspace, mode, kind, at, object, keys, conversion_id,
    customer, amount, currency, state, due_at, reward_id, click_id, clicked_at, link_id, domain, key, partner_id,
    program_id, group_id, coupon, country, device, trigger, explanation)
SELECT concat('com_', id), revision, 1, workspace, mode, 'sale', at, object, keys, id, customer, commission, currency,
    if(cityHash64(id) % 3 = 0, 'approved', 'pending'), at + toIntervalDay(30), 'rw_sale', click_id, clicked_at, link_id,
    domain, key, partner_id, program_id, group_id, coupon, country, device, trigger, '{"percent":"30"}'
FROM {database}.conversions_current WHERE kind = 'sale' AND partner_id != '';

-- Refunds: one sale in eleven, half of it; some are canceled, which takes the row back.
INSERT INTO {database}.refunds (id, revision, sign, workspace, mode, kind, at, object, keys, conversion_id, customer,
    status, reason, amount, currency, original_amount, original_currency, commission, sale_type, click_id, clicked_at,
    link_id, domain, key, partner_id, program_id, group_id, coupon, country, device, trigger, explanation)
WITH cityHash64(id, 'refund') AS h,
    arrayJoin(if(intDiv(h, 101) % 5 = 0, [(1, 1), (1, -1)], [(1, 1)])) AS emission
SELECT concat('re_', substring(id, 6)), emission.1, emission.2, workspace, mode, 'refund', at + toIntervalDay(2),
    concat('re:re_', substring(id, 6)), keys, id, customer, 'succeeded', 'requested_by_customer', intDiv(amount, 2),
    currency, intDiv(amount, 2), currency, intDiv(commission, 2), sale_type, click_id, clicked_at, link_id, domain, key,
    partner_id, program_id, group_id, coupon, country, device, trigger, if(emission.2 = 1, '{"share":"0.5"}', '')
FROM {database}.conversions_current WHERE kind = 'sale' AND h % 11 = 0 AND at < toDateTime64('{anchor}', 3, 'UTC') - toIntervalDay(2);

INSERT INTO {database}.commissions (id, revision, sign, workspace, mode, kind, at, object, keys, conversion_id,
    refund_id, customer, amount, currency, state, due_at, click_id, clicked_at, link_id, domain, key, partner_id,
    program_id, group_id, coupon, country, device, trigger)
SELECT concat('com_', id), revision, 1, workspace, mode, 'take_back', at, object, keys, conversion_id, id, customer,
    -commission, currency, 'pending', at + toIntervalDay(30), click_id, clicked_at, link_id, domain, key, partner_id,
    program_id, group_id, coupon, country, device, trigger
FROM {database}.refunds_current WHERE partner_id != '';

-- Every other customer is shown by name and address; of one that was told twice, the later stands.
INSERT INTO {database}.people (workspace, mode, customer, name, email, at, version)
SELECT workspace, mode, customer, concat('Customer ', customer, if(number = 0, ' as was', '')),
    concat(customer, '@example.com'), min(at), number
FROM {database}.conversions_current, numbers(2) AS twice WHERE customer != '' AND cityHash64(customer) % 2 = 0
GROUP BY workspace, mode, customer, number;
