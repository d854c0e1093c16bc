import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { MqttClient } from 'mqtt';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { packBundle, unpackBundle } from '../../src/lib/model/bundle/pack.js';
import type { Bundle } from '../../src/lib/model/bundle/types.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { pushTiny, tinyBundle } from '../support/bundle.js';
import { type Dashboard, type DashboardPage, dashboard, expectAccessible } from '../support/dashboard.js';
import { connectDevice } from '../support/mqtt.js';
import { describeReal } from '../support/real.js';

/** Size of the recording `long`. */
const [messages, batch, rate] = [60, 500, 100];
const began = Date.parse('2026-11-01T10:00:00Z');

describeReal('chromium', 'models and datasets in a browser', () => {
  let own: Dashboard;
  let device: MqttClient;
  beforeAll(async () => {
    own = await dashboard();
    const { client, key } = own.platform;
    await pushTiny(client, key, { name: 'har', bundle: evaluated(0.91, true) });
    await pushTiny(client, key, { name: 'har', bundle: evaluated(0.84, false) });
    const out = join(own.platform.folder, 'wrist-1');
    await provisionDevice({ client, name: 'wrist-1', type: 'virtual', out });
    device = await connectDevice(own.platform.platform.urls.mqtts, out);
    for (let seq = 0; seq < messages; seq++) await publish('long', seq);
    await publish('short', 0);
  });
  afterAll(async () => {
    await device.endAsync(true);
    await own.stop();
  });

  const publish = (recording: string, seq: number) => {
    const of = (wave: (t: number) => number) =>
      Array.from({ length: batch }, (_, i) => wave((seq * batch + i) / rate));
    const x = of((t) => Math.sin(t / 4) + 0.2 * Math.sin(t * 9));
    const y = of((t) => (Math.floor(t / 60) % 2 === 0 ? 0.3 * Math.cos(t) : 1.6 * Math.cos(t * 3)));
    const t = began + (seq * batch * 1000) / rate;
    const payload = JSON.stringify({ seq, t, rate, recording, x, y });
    return device.publishAsync('aiot/v1/wrist-1/telemetry/motion', payload, { qos: 1 });
  };

  it('plays a recording with the keyboard, and makes recordings of sound audible', async () => {
    const tone = Array.from({ length: 8000 }, (_, i) => 20 * Math.sin((i / 8000) * 2 * Math.PI * 440));
    const payload = { seq: 0, t: began, rate: 8000, recording: 'tone', audio: tone };
    const gap = { ...payload, recording: 'gap' };
    const { audio: _, ...other } = { ...payload, recording: 'other', another: tone };
    for (const each of [other, payload, gap, { ...gap, seq: 2, t: began + 2000 }])
      await device.publishAsync('aiot/v1/wrist-1/telemetry/mic', JSON.stringify(each), { qos: 1 });
    const { page, troubles } = await own.open('#/datasets/motion/wrist-1/short', { width: 390, dark: true });
    page.setDefaultTimeout(20_000);
    const position = page.getByRole('slider', { name: 'Position' });
    await position.waitFor();
    const at = async () => Number(await position.inputValue());
    const head = page.locator('.play-head');
    expect(await head.isHidden()).toBe(true);
    for (let i = 0; i < 10; i++) await page.keyboard.press('ArrowRight');
    expect(await at()).toBeCloseTo(0.2 * 4.99, 2);
    await page.getByRole('button', { name: 'Play', exact: true }).focus();
    await page.keyboard.press('ArrowLeft');
    expect(await at()).toBeCloseTo(0.18 * 4.99, 2);
    expect(await head.getAttribute('style')).toMatch(/left: 1[78]\.\d*%|left: 18%/);
    await page.getByLabel('Speed').selectOption('0.25');
    await page.getByRole('application', { name: 'Fields of short over time' }).focus();
    await page.keyboard.press(' ');
    await page.getByRole('button', { name: 'Pause' }).waitFor();
    await expect.poll(at).toBeGreaterThan(0.95);
    await page.keyboard.press(' ');
    await page.getByRole('button', { name: 'Play', exact: true }).waitFor();
    // The position of the last frame may be shown after the button.
    let stopped = await at();
    const isStill = async () => {
      const before = stopped;
      stopped = await at();
      return stopped === before;
    };
    await expect.poll(isStill).toBe(true);
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(390);
    await expectAccessible(page);
    expect(await at()).toBe(stopped);
    await page.getByLabel('Speed').selectOption('8');
    await page.getByRole('button', { name: 'Play', exact: true }).click();
    await page.getByRole('button', { name: 'Play', exact: true }).waitFor();
    expect(await at()).toBeCloseTo(4.99, 2);

    await page.evaluate(`{
      const start = AudioBufferSourceNode.prototype.start;
      AudioBufferSourceNode.prototype.start = function (...given) {
        const own = this.buffer.getChannelData(0);
        window.heard = { rate: this.buffer.sampleRate, length: own.length, peak: own.reduce((a, b) => Math.max(a, b)) };
        start.apply(this, given);
      };
    }`);
    await page.evaluate("location.hash = '#/datasets/mic/wrist-1/tone'");
    await page.getByText(', with sound').waitFor();
    await page.route('**/recordings/wrist-1/tone', () => {}, { times: 1 });
    await page.getByRole('button', { name: 'Play', exact: true }).click();
    const canceled = page.waitForEvent('requestfailed');
    await page.getByRole('button', { name: 'Cancel' }).click();
    expect((await canceled).url()).toMatch(/tone$/);
    await page.getByRole('button', { name: 'Play', exact: true }).click();
    await expect.poll(() => page.evaluate('window.heard')).toMatchObject({ rate: 8000, length: 8000 });
    expect(await page.evaluate('window.heard.peak')).toBeCloseTo(1, 3);
    await page.evaluate("location.hash = '#/datasets/mic/wrist-1/gap'");
    await page.getByText(', no sound, because messages are missing').waitFor();
    expect(troubles).toEqual([]);
    await page.context().close();
  });

  it('shows versions, compares two, and promotes one past a gate with a reason', async () => {
    const { page, troubles } = await own.open('#/models');
    await page.getByRole('link', { name: 'har' }).click();
    await page.getByRole('button', { name: 'Compare' }).click();
    await page.getByRole('row', { name: /^macro-F1/ }).waitFor();
    expect(await page.getByRole('row', { name: /^macro-F1/ }).textContent()).toMatch(/0\.\d{3}.*−0\.\d{3}/);
    await page.getByRole('link', { name: '@2', exact: true }).click();
    await page.getByRole('heading', { name: 'har@2', level: 1 }).waitFor();
    await expectFits(page);
    expect(await page.getByRole('row', { name: /^accuracy/ }).textContent()).toContain('80.1 % to 87.2 %');
    expect(await page.getByRole('row', { name: /^macro-F1/ }).textContent()).toMatch(
      /^macro-F10\.\d{3}[^%]*$/,
    );
    await page.getByText('Not cross-validated').waitFor();
    await page.getByRole('button', { name: 'Promote to staging' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Promote', exact: true }).click();
    await page.getByText('AIOT_GATE_FAILED').waitFor();
    await expectAccessible(page);
    await page.getByLabel('Reason for overriding the gate').fill('tried on the bench');
    await page.getByRole('dialog').getByRole('button', { name: 'Promote', exact: true }).click();
    await page.getByRole('button', { name: 'Demote to dev' }).waitFor();
    expect((await own.platform.client.models.get('har', 2)).stage).toBe('staging');
    // The browser itself logs the status of a failed gate.
    expect(troubles.filter((line) => !line.includes('422') && !line.includes('409'))).toEqual([]);
    await page.context().close();
  });

  it('shows the accuracy with its interval as the command line does, and the cross-validated accuracy', async () => {
    const { page } = await own.open('#/models/har/1');
    await page.getByText('91 % of 800 windows in 20 recordings (95 %: 80.1–87.2)').waitFor();
    await page
      .getByText('96.8 % of 2,024 windows in 53 recordings (95 %: 94–98), macro-F1 0.967, 0.981 smoothed')
      .waitFor();
    await page.context().close();
  });

  it('labels a dragged span, undoes the label, and zooms', async () => {
    const { page, troubles } = await own.open('#/datasets');
    await page.getByRole('link', { name: 'motion' }).click();
    await page.getByRole('link', { name: 'long' }).click();
    await page.getByText('minimum and maximum of 30,000 samples').waitFor();
    const drag = async (from: number, to: number) => {
      const box = await page.locator('.u-over').boundingBox();
      if (!box) throw new Error('no plot');
      await page.mouse.move(box.x + box.width * from, box.y + 50);
      await page.mouse.down();
      await page.mouse.move(box.x + box.width * to, box.y + 60, { steps: 4 });
      await page.mouse.up();
    };
    await page.getByLabel('Drag to label').check();
    await drag(0.2, 0.4);
    await page.getByLabel('Label', { exact: true }).fill('shaking');
    await page.getByRole('button', { name: 'Add label' }).click();
    await page.getByText('Labeled shaking').waitFor();
    const [part] = (await own.platform.client.datasets.show('motion', 'wrist-1', 'long')).parts;
    expect(part?.label).toBe('shaking');
    expect(Math.abs((part?.from ?? 0) - began - 60_000)).toBeLessThan(1000);
    expect(Math.abs((part?.to ?? 0) - began - 120_000)).toBeLessThan(1000);
    await page.getByRole('button', { name: 'Undo' }).click();
    await page.getByText('No labels yet.').waitFor();
    await page.getByLabel('Drag to zoom').check();
    await drag(0.5, 0.52);
    await page.getByText(/^\d{3} samples$/).waitFor();
    const saved = async (kind: 'CSV' | 'PNG') => {
      const download = page.waitForEvent('download');
      await page.getByRole('button', { name: `Save Fields of long over time as ${kind}` }).click();
      const file = await download;
      return { name: file.suggestedFilename(), bytes: await readFile(await file.path()) };
    };
    const csv = await saved('CSV');
    expect(csv.name).toBe('Fields-of-long-over-time.csv');
    const lines = csv.bytes.toString().trimEnd().split('\r\n');
    // Only the visible span is saved, 2 % of five minutes at 100 Hz.
    const times = lines.slice(1).map((line) => Date.parse(line.split(',')[0] ?? ''));
    const seconds = ((times.at(-1) ?? 0) - (times[0] ?? 0)) / 1000;
    expect(seconds).toBeGreaterThan(5.5);
    expect(seconds).toBeLessThan(6.5);
    expect(Math.abs(seconds * 100 - (times.length - 1))).toBeLessThan(2);
    await expectAccessible(page);
    await page.screenshot({
      path: join(process.env.SHOTS ?? own.platform.folder, 'plot.png'),
      fullPage: true,
    });
    await page.getByRole('application').press('Escape');
    await page.getByText('minimum and maximum of 30,000 samples').waitFor();
    await drag(0.5, 0.52);
    await page.getByText(/^\d{3} samples$/).waitFor();
    await page.locator('.u-over').dblclick();
    await page.getByText('minimum and maximum of 30,000 samples').waitFor();
    const { default: sharp } = await import('sharp');
    const picture = await saved('PNG');
    const { format, width, height } = await sharp(picture.bytes).metadata();
    expect({ name: picture.name, format, height }).toEqual({
      ...{ name: 'Fields-of-long-over-time.png', format: 'png', height: 350 },
    });
    expect(width).toBeGreaterThan(500);
    // Lines in the colors of the series, on the background of the page.
    expect((await sharp(picture.bytes).stats()).entropy).toBeGreaterThan(0.5);
    expect(troubles).toEqual([]);
    await page.context().close();
  });

  it('lists the recordings to label next, labels one, undoes it, and leads from one to the next', async () => {
    const ranked = (recording: string, uncertainty: number, novelty: number, similarTo: string | null) => ({
      ...{ device: 'wrist-1', recording, score: 1 - (1 - uncertainty) * (1 - novelty), uncertainty, novelty },
      ...{ predicted: { class: 'still', share: 0.75 }, similarTo },
    });
    await own.platform.client.datasets.suggest('motion', {
      model: 'har',
      labels: ['still', 'shaking'],
      recordings: [ranked('long', 0.83, 0.2, null), ranked('short', 0.4, 0.9, 'wrist-1/long')],
    });
    const { page, troubles } = await own.open('#/datasets/motion');
    const items = page.locator('.suggestions li');
    await items.nth(1).waitFor();
    expect(await items.first().textContent()).toContain('83 % uncertain (still in 75 % of its windows)');
    expect(await items.nth(1).textContent()).toContain(
      '90 % of its windows are unlike the training data; 40 %',
    );
    await expectAccessible(page);
    await expectFits(page);
    await page.getByRole('button', { name: 'Label long as shaking' }).click();
    await page.getByText('Labeled long as shaking.').waitFor();
    await expect.poll(() => items.count()).toBe(1);
    expect((await own.platform.client.datasets.show('motion', 'wrist-1', 'long')).label).toBe('shaking');
    await page.getByRole('button', { name: 'Undo' }).click();
    await expect.poll(() => items.count()).toBe(2);
    await items.first().getByRole('link').click();
    await page.getByText('Suggestion 1 of 2').waitFor();
    await page.getByText('The model’s labels:').waitFor();
    await expectAccessible(page);
    await page.getByRole('button', { name: 'still', exact: true }).click();
    await page.getByText('Labeled still').waitFor();
    await page.getByRole('link', { name: 'Next suggestion: short' }).click();
    await page.getByText('Suggestion 1 of 1').waitFor();
    await page.getByRole('button', { name: 'shaking', exact: true }).click();
    await page.getByText('Labeled shaking').waitFor();
    await page.goto(new URL('/#/datasets/motion', own.platform.platform.urls.http).href);
    await page.getByText('2 recordings, 2 labeled').waitFor();
    await expect.poll(() => page.getByRole('heading', { name: 'Label next' }).count()).toBe(0);
    expect(troubles).toEqual([]);
    await page.context().close();
    for (const recording of ['long', 'short'])
      await own.platform.client.labels.post({ stream: 'motion', device: 'wrist-1', recording, label: null });
  });

  it('is accessible, including on a phone', async () => {
    const hashes = ['#/models', '#/models/har', '#/models/har/1', '#/models/har/compare?a=1&b=2'];
    const data = ['#/datasets', '#/datasets/motion', '#/datasets/motion/wrist-1/long'];
    for (const [dark, width] of [
      [true, 1280],
      [false, 390],
    ] as const) {
      const opened = await own.open('#/', { dark, width });
      for (const hash of [...hashes, ...data]) await look(opened, hash);
      expect(opened.troubles).toEqual([]);
      await opened.context.close();
    }
  });

  const look = async ({ page }: DashboardPage, hash: string) => {
    await page.goto(new URL(`/${hash}`, own.platform.platform.urls.http).href);
    await page.getByRole('table').or(page.getByRole('application')).first().waitFor();
    await expectAccessible(page);
    await expectFits(page);
  };
});

async function expectFits(page: DashboardPage['page']): Promise<void> {
  expect(await page.evaluate('document.documentElement.scrollWidth <= innerWidth')).toBe(true);
}

/** A bundle with this evaluation result. */
function evaluated(macroF1: number, passed: boolean): Uint8Array {
  const bundle: Bundle = unpackBundle(tinyBundle('har', passed ? 1 : 2));
  const confusion = passed
    ? [
        [412, 21],
        [48, 319],
      ]
    : [
        [377, 56],
        [75, 292],
      ];
  const figures = { windows: 800, accuracy: macroF1, macroF1, confusion, auc: 0.95 };
  const interval = [0.801, 0.872] as const;
  const intervals = { macroF1: interval, auc: null };
  const folds = {
    ...{ folds: 5, windows: 2024, groups: 53, accuracy: 0.968, interval: [0.94, 0.98] as [number, number] },
    ...{ macroF1: 0.967, rmse: null, voted: { accuracy: 0.982, macroF1: 0.981 } },
  };
  return packBundle({
    ...bundle,
    info: {
      ...bundle.info,
      metrics: {
        float: { ...figures, accuracy: macroF1 + 0.01 },
        int8: { ...figures, groups: 20, interval, intervals },
        voted: figures,
        ...(passed && { folds }),
      },
      gates: [{ name: 'macroF1', limit: 0.9, got: macroF1, passed }],
    },
  });
}
