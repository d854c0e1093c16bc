import { pathToFileURL } from 'node:url';
import type { Browser } from 'playwright-core';
import { expect } from 'vitest';
import type { RolloutReport } from '../../src/lib/api/rollouts/report.js';
import type { RolloutDeviceInfo } from '../../src/lib/api/rollouts/schema.js';
import type { RecordRow } from '../../src/lib/flash/write/production.js';

/** Malicious text for the names of devices, errors and files. */
export const hostile = '<script>alert(1)</script>"\'&<img src=http://127.0.0.1:9/x onerror=alert(2)>';

const views = [
  { width: 390, colorScheme: 'light', ground: 'rgb(251, 250, 248)' },
  { width: 1280, colorScheme: 'dark', ground: 'rgb(21, 23, 26)' },
] as const;

/**
 * Checks a report in a browser, on a phone in light mode and on a desktop in dark mode. It must make no requests, run
 * no scripts, print nothing to the console, and be no wider than the screen.
 */
export async function expectReport(browser: Browser, file: string): Promise<void> {
  for (const { width, colorScheme, ground } of views) {
    const page = await browser.newPage({ viewport: { width, height: 800 }, colorScheme });
    const requests: string[] = [];
    const told: string[] = [];
    page.on('request', (request) => requests.push(request.url()));
    page.on('console', (message) => told.push(message.text()));
    page.on('pageerror', (error) => told.push(String(error)));
    await page.goto(pathToFileURL(file).href);
    const seen = await page.evaluate(`({
      wide: document.documentElement.scrollWidth - innerWidth,
      active: document.querySelectorAll('script, img, iframe, [onerror]').length,
      ground: getComputedStyle(document.body).backgroundColor,
      broken: document.body.innerText.match(/NaN|undefined|Infinity|\\[object/g),
    })`);
    expect({ file, requests, told, seen }).toEqual({
      ...{ file, requests: [pathToFileURL(file).href], told: [] },
      seen: { wide: 0, active: 0, ground, broken: null },
    });
    await page.close();
  }
}

const begun = Date.UTC(2026, 4, 4, 9);

/** A rollout of two waves over this many devices. One in twelve rejects it, and one in thirty is offline. */
export function madeUpRollout(count = 60): RolloutReport {
  const devices = Array.from({ length: count }, (_, i): RolloutDeviceInfo => {
    const wave = i < count / 6 ? 0 : 1;
    const offered = begun + wave * 95_000 + i * 400;
    const state = i % 12 === 5 ? 'rolledBack' : i % 30 === 17 ? 'missed' : 'committed';
    const came = state === 'missed' ? {} : { downloaded: offered + 4000 + (i % 7) * 900 };
    const done = state === 'committed';
    const at = (ms: number) => offered + 9000 + ms + ((i * 37) % 23) * ((i * 11) % 13) * 14;
    return {
      ...{ name: i === 5 ? 'pump-5' : `pump-${i}`, wave, state, offers: 1, shadow: null },
      step: done ? 'COMMITTED' : state === 'missed' ? null : 'ROLLED_BACK',
      error: done
        ? null
        : state === 'missed'
          ? { code: 'AIOT_UPDATE_OFFLINE', message: 'was not there in time' }
          : { code: 'AIOT_GOLDEN_FAILED', message: i === 5 ? hostile : '2 of 8 golden vectors differ' },
      times: {
        offered,
        ...came,
        ...(state === 'missed' ? {} : { verified: at(0), booted: at(2600) }),
        ...(done ? { golden: at(3100), committed: at(3300) } : {}),
      },
      proof: done
        ? {
            state: 'proven',
            at: at(3300),
            golden: null,
            healthyS: null,
            t: null,
            signed: null,
            refused: null,
          }
        : null,
      updated: done ? at(3300) : offered + 60_000,
    };
  });
  const waves = [0, 1].map((index) => {
    const own = devices.filter(({ wave }) => wave === index);
    const of = (state: string) => own.filter((device) => device.state === state).length;
    const none = { pending: 0, offered: 0, updating: 0, shadowing: 0, recalled: 0, withdrawn: 0 };
    return {
      ...{
        state: 'passed' as const,
        devices: own.length,
        ...none,
        restoring: 0,
        restored: 0,
        crashed: 0,
        failed: 0,
      },
      ...{ committed: of('committed'), rolledBack: of('rolledBack'), missed: of('missed'), shadow: null },
      ...{ opened: begun + index * 95_000, ended: begun + index * 95_000 + 80_000 },
    };
  });
  const lost = devices.filter(({ state }) => state === 'rolledBack');
  return {
    rollout: {
      ...{
        id: 'ro_01k2',
        state: 'partly',
        reason: null,
        rollback: null,
        selector: 'site=north',
        by: 'operator',
      },
      releases: [{ kind: 'model', name: 'motor', version: 7, sequence: 12 }],
      policy: {
        ...{
          waves: ['16%', '100%'],
          maxFailures: '15%',
          minSuccess: '50%',
          soakMs: 10_000,
          onFailure: 'pause',
        },
        ...{ attempts: 1, backoffMs: 60_000, deadlineMs: 600_000, offlineMs: null, perMinute: null },
        ...{ window: null, startAt: null, priority: 0, approval: false, requireProof: true, shadow: null },
      },
      ...{ approvals: [], created: begun, ended: begun + 190_000, seconds: 190, waves, crashFree: null },
    },
    runs: [
      { name: 'motor', version: 7, devices: devices.filter(({ state }) => state === 'committed').length },
      { name: 'motor', version: 6, devices: lost.length },
    ],
    devices,
    history: [
      { at: begun, who: 'operator', type: 'rollout.start', data: {} },
      { at: begun, who: 'platform', type: 'rollout.wave', data: { wave: 0, state: 'open' } },
      { at: begun + 190_000, who: 'platform', type: 'rollout.end', data: { state: 'partly', reason: null } },
    ],
    failures: [
      { code: 'AIOT_GOLDEN_FAILED', devices: lost.length, example: `pump-5: ${hostile}` },
      { code: 'AIOT_UPDATE_OFFLINE', devices: 2, example: 'pump-17: was not there in time' },
    ],
    durationMs: { p50: 13_000, p90: 13_700, max: 13_700 },
    saved: { byDelta: 0, fellBack: 0, bytes: 0 },
  };
}

/** Trays of boards. One board in nine fails and is reinserted, and one port never responds. */
export function madeUpRows(count = 36): RecordRow[] {
  return Array.from({ length: count }, (_, i): RecordRow => {
    const board = i % 9 === 4 && i > 9 ? i - 9 : i;
    const failed = i === 4 || i === 22 || i === 30;
    const byte = board.toString(16).padStart(2, '0');
    return {
      time: new Date(begun + Math.floor(i / 8) * 45_000 + (i % 8) * 700).toISOString(),
      ...{ port: `/dev/ttyUSB${i % 8}`, mac: i === 30 ? '' : `24:0a:c4:00:10:${byte}`, chip: 'esp32' },
      ...{ device: i === 7 ? hostile : `motor-${board}`, certificate: failed ? '' : byte.repeat(32) },
      ...{ versions: 'motor-watch 1.2.0', result: failed ? 'failed' : 'ok', attempts: i % 11 === 3 ? 2 : 1 },
      error: failed ? `AIOT_FLASH_VERIFY: the flash differs at 0x10000 ${i === 22 ? hostile : ''}` : '',
      seconds: 14 + ((i * 7) % 13) / 3,
    };
  });
}
