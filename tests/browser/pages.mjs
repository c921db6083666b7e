// The dashboard's pages in a real Chromium: with data (DATA), without (EMPTY), and without ClickHouse (BROKEN).
// It fails with what was not as expected. Screenshots go to the folder SCREENSHOTS, if one is named.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { chromium } from 'playwright-core';

const { DATA, EMPTY, BROKEN, SCREENSHOTS } = process.env;
const axe = createRequire(import.meta.url)('axe-core').source;
const PAGES = {
  overview: '/?interval=all', live: '/live', links: '/pages/links', partners: '/pages/partners', coupons: '/pages/coupons',
  programs: '/pages/programs', conversions: '/pages/conversions?interval=all', customers: '/people',
  payments: '/pages/payments', commissions: '/earnings', connections: '/pages/connections', pipeline: '/pages/pipeline',
};
// What a first view may load, uncompressed: a quarter of it comes over the wire once a proxy compresses.
const MOST_BYTES = 200_000;

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ['--no-sandbox'] });

async function open(base, path, { width = 1280, height = 900, colorScheme = 'light', complains = false } = {}) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme, locale: 'en-US', timezoneId: 'UTC', bypassCSP: true });
  const page = await context.newPage();
  page.setDefaultTimeout(20000);
  const problems = [];
  page.on('pageerror', (error) => problems.push(String(error)));
  page.on('console', (message) => message.type() === 'error' && !complains && problems.push(message.text()));
  page.problems = problems;
  // The page itself: what it asks for afterwards depends on the data.
  page.files = [];
  page.on('response', (response) => {
    const kind = response.request().resourceType();
    if (kind === 'document' || response.url().includes('/assets/')) page.files.push(response.body().then((body) => body.length, () => 0));
  });
  await page.goto(base + path);
  return page;
}

async function close(page) {
  assert.deepEqual(page.problems, [], page.url());
  await page.context().close();
}

async function picture(page, name) {
  if (SCREENSHOTS) await page.screenshot({ path: `${SCREENSHOTS}/${name}.png`, fullPage: true });
}

async function accessible(page, name) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
  const serious = violations.filter(({ impact }) => impact === 'serious' || impact === 'critical');
  const told = serious.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map((node) => node.html).slice(0, 3).join(' ')}`);
  assert.deepEqual(told, [], name);
}

const rows = (page) => page.locator('#rows tbody tr').first().waitFor();
const ready = {
  overview: (page) => page.locator('#cards .value', { hasText: /\d/ }).first().waitFor(),
  live: (page) => page.locator('#banner, #events .empty').first().waitFor(),
  links: rows, partners: rows, coupons: rows, conversions: rows, customers: rows, commissions: rows,
  programs: (page) => page.locator('#programs .terms li').first().waitFor(),
  payments: (page) => page.locator('#latest li').first().waitFor(),
  connections: (page) => page.locator('#connections .tag').first().waitFor(),
  pipeline: (page) => page.locator('#letters tbody tr').first().waitFor(),
};

// Each page, light and dark, wide and on a small phone.
for (const [name, path] of Object.entries(PAGES)) {
  for (const colorScheme of ['light', 'dark']) {
    for (const width of [1280, 360]) {
      const page = await open(DATA, path, { width, colorScheme, complains: name === 'live' });
      await ready[name](page);
      const bytes = (await Promise.all(page.files)).reduce((sum, size) => sum + size, 0);
      assert.ok(bytes > 10_000 && bytes < MOST_BYTES, `${name} loads ${bytes} bytes`);
      assert.equal(await page.getByText('[object').count(), 0, `${name} shows an object as text`);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth);
      assert.ok(wide <= width, `${name} is ${wide} wide on a screen of ${width}`);
      assert.equal(await page.locator('nav [aria-current=page]').count(), 1);
      if (width === 1280) await accessible(page, `${name}, ${colorScheme}`);
      await picture(page, `${name}-${colorScheme}-${width}`);
      await close(page);
    }
  }
}

// Customers: more of them, sorted, found, and one of them in detail; what is chosen lives in the URL.
{
  const page = await open(DATA, '/people');
  const rows = page.locator('#rows tbody tr');
  await rows.first().waitFor();
  assert.equal(await rows.count(), 50);
  await page.getByRole('button', { name: 'Show more' }).click();
  await page.waitForFunction(() => document.querySelectorAll('#rows tbody tr').length === 100);
  await page.locator('[name=sortBy]').selectOption('saleAmount');
  await page.waitForURL(/sortBy=saleAmount/);
  await page.waitForFunction(() => document.querySelectorAll('#rows tbody tr').length === 50);
  const revenue = await page.locator('#rows tbody td:nth-child(5)').allTextContents();
  const amounts = revenue.map((text) => Number(text.replace(/[^0-9.]/g, '')));
  assert.deepEqual(amounts, [...amounts].sort((a, b) => b - a));
  const first = await rows.first().locator('button').textContent();
  await page.locator('[name=search]').fill(first.split(' ').pop());
  await page.locator('[name=search]').press('Enter');
  await page.waitForFunction(() => document.querySelectorAll('#rows tbody tr').length === 1);
  await page.reload();
  await page.waitForFunction(() => document.querySelectorAll('#rows tbody tr').length === 1);
  assert.equal(await rows.first().locator('button').textContent(), first);
  await rows.first().locator('button').click();
  await page.locator('#drawer[open] ol li').nth(1).waitFor();
  const journey = await page.locator('#drawer ol time').evaluateAll((times) => times.map((time) => time.dateTime));
  assert.deepEqual(journey, [...journey].sort());
  await accessible(page, 'a customer');
  await picture(page, 'customer');
  await page.keyboard.press('Escape');
  await page.locator('#drawer[open]').waitFor({ state: 'detached' });
  await close(page);
}

// Commissions: by status, and why.
{
  const page = await open(DATA, '/earnings?status=processed');
  await page.locator('#rows tbody tr').first().waitFor();
  assert.deepEqual([...new Set(await page.locator('#rows tbody .tag').allTextContents())], ['processed']);
  await page.locator('#rows tbody button').first().click();
  await page.locator('#drawer[open]').getByText('Earned by').waitFor();
  await picture(page, 'commission');
  await close(page);
}

// The menu of a small screen: opened and closed by keys alone, and it keeps the workspace and mode.
{
  const page = await open(DATA, '/pages/links?mode=test', { width: 360 });
  await ready.links(page);
  const menu = page.locator('nav.pages');
  assert.equal(await menu.isVisible(), false);
  await page.getByRole('button', { name: 'Menu' }).focus();
  await page.keyboard.press('Enter');
  await menu.waitFor();
  await accessible(page, 'the menu');
  await picture(page, 'menu-360');
  await page.keyboard.press('Escape');
  assert.equal(await menu.isVisible(), false);
  await page.getByRole('button', { name: 'Menu' }).click();
  await menu.getByRole('link', { name: 'Partners' }).click();
  await page.waitForURL(/\/pages\/partners\?mode=test/);
  await ready.partners(page);
  await close(page);
}

// Links: found, in detail, and from there to the overview of the one link.
{
  const page = await open(DATA, '/pages/links');
  await ready.links(page);
  assert.equal(await page.locator('#rows tbody tr').count(), 7);
  await page.locator('[name=search]').fill('lena-yt');
  await page.locator('[name=search]').press('Enter');
  await page.waitForFunction(() => document.querySelectorAll('#rows tbody tr').length === 1);
  const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('link', { name: 'Download CSV' }).click()]);
  const file = await readFile(await download.path(), 'utf8');
  assert.match(file, /^id,link,destination/);
  assert.equal(file.trim().split('\n').length, 2);
  await page.locator('#rows tbody button').first().click();
  await page.locator('#drawer[open]').getByText('Leads to').waitFor();
  await accessible(page, 'a link');
  await picture(page, 'link');
  await page.getByRole('link', { name: 'Overview of this link' }).click();
  await page.waitForURL(/linkId=lnk_lena_yt/);
  await ready.overview(page);
  await page.getByText('All links').waitFor();
  await picture(page, 'overview-of-a-link');
  await page.getByRole('button', { name: 'All links' }).click();
  await page.waitForFunction(() => !location.search.includes('linkId'));
  await close(page);
}

// Partners: what is due, and each with its balance.
{
  const page = await open(DATA, '/pages/partners?due=true');
  await ready.partners(page);
  await page.getByRole('button', { name: 'Lena Lindqvist' }).click();
  await page.locator('#drawer[open]').getByText('Due now').waitFor();
  await accessible(page, 'a partner');
  await picture(page, 'partner');
  await close(page);
}

// Conversions: filters are in the URL, and each is explained in words.
{
  const page = await open(DATA, '/pages/conversions?interval=all&type=sale');
  await ready.conversions(page);
  await page.locator('[name=coupon]').fill('LENA20');
  await page.locator('[name=coupon]').press('Enter');
  await page.waitForURL(/coupon=LENA20/);
  await page.waitForFunction(() => [...document.querySelectorAll('#rows tbody td:nth-child(4)')].every((cell) => cell.textContent === 'LENA20'));
  await page.locator('#rows tbody button').first().click();
  await page.locator('#drawer[open] .verdict').waitFor();
  await page.locator('#drawer[open]').getByText('The code LENA20 was used').waitFor();
  await accessible(page, 'a conversion');
  await picture(page, 'conversion');
  await page.keyboard.press('Escape');
  await page.locator('[name=informational]').selectOption('true');
  await page.getByText('No conversion').first().waitFor();
  await close(page);
  const linked = await open(DATA, '/pages/conversions?interval=all&linkId=lnk_devcast');
  await ready.conversions(linked);
  await linked.getByText('Only link lnk_devcast').waitFor();
  await linked.getByRole('button', { name: 'Show all' }).click();
  await linked.waitForFunction(() => !location.search.includes('linkId'));
  await close(linked);
}

// A payment: by a click in the list, by its address, and alone in a narrow frame.
{
  const page = await open(DATA, '/pages/payments');
  await ready.payments(page);
  await page.locator('#latest button').first().click();
  await page.locator('#payment .verdict').waitFor();
  await page.waitForURL(/id=sale_/);
  await picture(page, 'payment');
  await page.locator('#payment-id').fill('in_nowhere');
  await page.getByRole('button', { name: 'Explain' }).click();
  await page.getByText('answers to "in_nowhere"').waitFor();
  page.problems.length = 0;
  await close(page);
  const id = (await (await fetch(`${DATA}/events?event=sales&interval=all&limit=1`)).json())[0].eventId;
  const panel = await open(DATA, `/pages/payments?panel=1&id=${id}`, { width: 330, height: 700 });
  await panel.locator('#payment .verdict').waitFor();
  assert.equal(await panel.locator('nav.pages').isVisible(), false);
  assert.equal(await panel.locator('#latest-card').isVisible(), false);
  assert.ok(await panel.evaluate(() => document.documentElement.scrollWidth) <= 330);
  await accessible(panel, 'the panel');
  await picture(panel, 'panel');
  await close(panel);
}

// The pipeline: letters are put back only after a question.
{
  const page = await open(DATA, '/pages/pipeline');
  await ready.pipeline(page);
  await page.getByText('7 in 30 days').waitFor();
  await page.getByRole('button', { name: 'Replay invalid amount' }).click();
  await page.locator('#drawer[open]').getByText('tributary replay --reason invalid_amount').waitFor();
  await accessible(page, 'a replay');
  await picture(page, 'replay');
  await page.getByRole('button', { name: 'Put them back' }).click();
  await page.getByText('3 put back').waitFor();
  await page.keyboard.press('Escape');
  await page.locator('#letters tbody button').first().click();
  await page.locator('#drawer[open]').getByText('What was wrong').waitFor();
  await close(page);
}

// Nothing there yet says what to do.
for (const [path, hint] of [
  ['/', 'Nothing yet'], ['/people', 'No customer yet'], ['/earnings', 'No commission'], ['/pages/links', 'No link'],
  ['/pages/partners', 'No partner'], ['/pages/coupons', 'No code'], ['/pages/programs', 'No program'],
  ['/pages/conversions', 'No conversion'], ['/pages/payments', 'No payment yet'],
  ['/pages/connections', 'Nothing from Stripe yet'], ['/pages/pipeline', 'No dead letter'],
]) {
  const page = await open(EMPTY, path);
  await page.getByText(hint).first().waitFor();
  assert.equal(await page.locator('main[aria-busy=true]').count(), 0, path);
  await accessible(page, `${path}, empty`);
  await picture(page, `empty${path.replaceAll('/', '-')}`);
  await close(page);
}

// ClickHouse is away: said, and tried again.
const lists = ['/people', '/earnings', '/pages/links', '/pages/partners', '/pages/coupons', '/pages/conversions'];
for (const path of ['/', ...lists, '/pages/programs', '/pages/payments', '/pages/connections']) {
  const page = await open(BROKEN, path, { complains: true });
  await page.locator('#banner:not([hidden])').getByText('ClickHouse does not answer').waitFor();
  await page.getByRole('button', { name: 'Try again' }).click();
  await page.locator('#banner:not([hidden])').waitFor();
  await accessible(page, `${path}, broken`);
  await picture(page, `broken${path.replaceAll('/', '-')}`);
  await close(page);
}

// Kafka is away: said where it matters, and the rest is shown.
{
  const page = await open(BROKEN, '/pages/pipeline');
  await page.getByText('Kafka is not reachable').first().waitFor();
  await page.locator('#spool').getByText('MB').first().waitFor();
  await accessible(page, 'the pipeline, broken');
  await picture(page, 'broken-pipeline');
  await close(page);
}

await browser.close();
console.log('ok');
