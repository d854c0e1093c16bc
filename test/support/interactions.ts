import type { Browser, Page } from 'playwright-core';

/** How long the dashboard was busy with an interaction. */
export interface Interaction {
  name: string;
  /** The slowest event of the interaction: from the input until its result was painted, ms; at most 16 ms is reported as 0. */
  eventMs: number;
  /** The longest task of the page's main thread: elapsed time and CPU time, ms. */
  taskMs: number;
  taskCpuMs: number;
}

/**
 * Uses a dashboard with a large fleet as a person does, beginning on the overview page, and measures each interaction with the browser's
 * own event timing and tasks. @param device name of a device, without other matches
 */
export async function interactionsOn(page: Page, device: string): Promise<Interaction[]> {
  const found: Interaction[] = [];
  await page.evaluate(watchEvents);
  const measure = async (name: string, act: () => Promise<unknown>) => {
    found.push({ name, ...(await measured(page, act)) });
  };
  const field = page.getByRole('combobox', { name: /^Search devices/ });
  await measure('open the device list', async () => {
    await page.getByRole('navigation', { name: 'Pages' }).getByRole('link', { name: 'Devices' }).click();
    await page.getByText(/10,000 devices, \d+ online/).waitFor();
  });
  await measure('sort by a column', () => page.getByRole('button', { name: 'name' }).click());
  await measure('scroll with the wheel', async () => {
    await page.mouse.move(600, 500);
    for (let i = 0; i < 20; i++) await page.mouse.wheel(0, 400);
  });
  await measure('jump to the end', () => page.keyboard.press('End'));
  await measure('jump to the start', () => page.keyboard.press('Home'));
  const boxes = page.getByRole('table', { name: 'Devices' }).getByRole('checkbox');
  await measure('select a device', () => boxes.nth(1).click());
  await measure('select all devices', () => boxes.first().click());
  await measure('clear the selection', () => boxes.first().click());
  await measure('show the map', async () => {
    await page.getByRole('link', { name: 'Map' }).click();
    await page.getByLabel('Color by').waitFor();
  });
  await measure('color the map by state', () => page.getByLabel('Color by').selectOption('state'));
  await measure('return to the table', () => page.getByRole('link', { name: 'Table' }).click());
  await measure('type a selector', async () => {
    await page.getByLabel('Selector').click();
    await page.keyboard.type('name ~ press-47*');
  });
  await measure('filter by a selector', async () => {
    await page.getByRole('button', { name: 'Filter' }).click();
    await page.getByText(/^100 devices/).waitFor();
  });
  await measure('open the command palette', async () => {
    await page.keyboard.press('Control+k');
    await field.waitFor();
  });
  await measure('search in the command palette', async () => {
    await page.keyboard.type(device);
    await page.getByRole('option', { name: new RegExp(`^${device} virtual`) }).waitFor();
  });
  await measure('open a device', async () => {
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: device, level: 1 }).waitFor();
  });
  return found;
}

/** Records the duration of each input event, in steps of 8 ms. */
const watchEvents = `
  window.slowest = 0;
  new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) window.slowest = Math.max(window.slowest, duration);
  }).observe({ type: 'event', durationThreshold: 16 });
`;

/** Time after an interaction in which its remaining work is done, ms. */
const afterMs = 300;

async function measured(page: Page, act: () => Promise<unknown>): Promise<Omit<Interaction, 'name'>> {
  const browser = page.context().browser() as Browser;
  await page.evaluate('window.slowest = 0');
  await browser.startTracing(page, { categories: ['toplevel', 'disabled-by-default-devtools.timeline'] });
  await act();
  await page.waitForTimeout(afterMs);
  const { traceEvents } = JSON.parse((await browser.stopTracing()).toString()) as { traceEvents: Trace[] };
  const eventMs = (await page.evaluate('window.slowest')) as number;
  const mains = new Set(
    traceEvents
      .filter(({ name, args }) => name === 'thread_name' && args?.name === 'CrRendererMain')
      .map(({ pid, tid }) => `${pid} ${tid}`),
  );
  const tasks = traceEvents.filter(({ name, pid, tid }) => name === 'RunTask' && mains.has(`${pid} ${tid}`));
  if (tasks.length === 0) throw new Error('the trace has no tasks of the page');
  const longest = (key: 'dur' | 'tdur') =>
    Math.round(tasks.reduce((most, task) => Math.max(most, (task[key] ?? 0) / 1000), 0));
  return { eventMs, taskMs: longest('dur'), taskCpuMs: longest('tdur') };
}

/** An event of a trace, in the format of Chromium. Durations are in µs; `tdur` is CPU time. */
interface Trace {
  name: string;
  pid: number;
  tid: number;
  dur?: number;
  tdur?: number;
  args?: { name?: string };
}
