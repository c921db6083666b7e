// The dashboard's pages in a real Chromium: with data (DATA), without (EMPTY), and without ClickHouse (BROKEN).
// It fails with what was not as expected. Screenshots go to the folder SCREENSHOTS, if one is named.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { chromium } from 'playwright-core';

const { DATA, EMPTY, BROKEN, SCREENSHOTS } = process.env;
const axe = createRequire(import.meta.url)('axe-core').source;
const PAGES = { overview: '/?interval=all', live: '/live', customers: '/people', commissions: '/earnings' };

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ['--no-sandbox'] });

async function open(base, path, { width = 1280, height = 900, colorScheme = 'light', complains = false } = {}) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme, locale: 'en-US', timezoneId: 'UTC', bypassCSP: true });
  const page = await context.newPage();
  page.setDefaultTimeout(20000);
  const problems = [];
  page.on('pageerror', (error) => problems.push(String(error)));
  page.on('console', (message) => message.type() === 'error' && !complains && problems.push(message.text()));
  page.problems = problems;
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

const ready = {
  overview: (page) => page.locator('#cards .value', { hasText: /\d/ }).first().waitFor(),
  live: (page) => page.locator('#banner, #events .empty').first().waitFor(),
  customers: (page) => page.locator('#rows tbody tr').first().waitFor(),
  commissions: (page) => page.locator('#rows tbody tr').first().waitFor(),
};

// Each page, light and dark, wide and on a small phone.
for (const [name, path] of Object.entries(PAGES)) {
  for (const colorScheme of ['light', 'dark']) {
    for (const width of [1280, 360]) {
      const page = await open(DATA, path, { width, colorScheme, complains: name === 'live' });
      await ready[name](page);
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

// Nothing there yet says what to do.
for (const [path, hint] of [['/', 'Nothing yet'], ['/people', 'No customer yet'], ['/earnings', 'No commission']]) {
  const page = await open(EMPTY, path);
  await page.getByText(hint).first().waitFor();
  await close(page);
}

// ClickHouse is away: said, and tried again.
for (const path of ['/', '/people', '/earnings']) {
  const page = await open(BROKEN, path, { complains: true });
  await page.locator('#banner:not([hidden])').getByText('ClickHouse does not answer').waitFor();
  await page.getByRole('button', { name: 'Try again' }).click();
  await page.locator('#banner:not([hidden])').waitFor();
  await close(page);
}

await browser.close();
console.log('ok');
