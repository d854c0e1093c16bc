import { join } from 'node:path';
import { expect, it } from 'vitest';
import { loadProject } from '../../../src/lib/core/project.js';
import { openSensing } from '../../../src/lib/loop/sense/open.js';
import { root } from '../../support/cli.js';

/** Number of hours: a week with AIOT_LONG=1, otherwise one hour. */
const hours = process.env.AIOT_LONG ? 7 * 24 : 1;

it(`sensing simulates ${hours} h in a fraction of the time, with no losses, timing errors, or memory growth`, async () => {
  const project = await loadProject(join(root, 'templates', 'har-imu'));
  const fields = Object.entries(project.config.stream.fields).map(([name, { unit }]) => ({ name, unit }));
  const sensing = await openSensing({
    contract: { fields, rateHz: 100 },
    simulate: { project, speed: 'max' },
  });
  const wanted = hours * 360_000;
  const cpu = process.cpuUsage();
  let count = 0;
  let lost = 0;
  let begin = Number.NaN;
  let off = 0;
  let early = 0;
  for await (const batch of sensing) {
    if (Number.isNaN(begin)) begin = batch.times[0]!;
    off = Math.max(off, Math.abs(batch.times[0]! - begin - count * 10));
    lost += batch.lost;
    count += batch.count;
    if (early === 0 && count > wanted / 4) early = process.memoryUsage.rss();
    if (count >= wanted) break;
  }
  const { user, system } = process.cpuUsage(cpu);
  await sensing.close();
  expect(lost).toBe(0);
  expect(sensing.rates()).toMatchObject({ lost: 0, gaps: 0 });
  expect(off).toBeLessThan(0.01);
  expect((process.memoryUsage.rss() - early) / 1e6).toBeLessThan(60);
  // Less than half a percent of a core, including the simulator of the chip.
  expect((user + system) / 1e6 / (hours * 3600)).toBeLessThan(0.005);
}, 1_200_000);
