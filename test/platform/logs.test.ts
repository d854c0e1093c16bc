import { appendFile, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { boundLog, type LogLine, olderLog, readLogs } from '../../src/lib/platform/up/logs.js';
import { runCli } from '../support/cli.js';

let data: string;
let path: string;
beforeEach(async () => {
  data = await mkdtemp(join(tmpdir(), 'aiot-logs-'));
  path = join(data, 'platform.log');
});
afterEach(() => rm(data, { recursive: true, force: true }));

const line = (time: number, msg: string, level = 30, more = {}) =>
  `${JSON.stringify({ level, time, msg, ...more })}\n`;
const at = Date.UTC(2026, 0, 2, 3, 4, 5);

describe('aiot platform logs', () => {
  it('shows the lines of the current and the previous file, as text and as JSON', async () => {
    await writeFile(olderLog(path), line(at, 'ready'));
    await writeFile(
      path,
      `${line(at + 1000, 'a deadline could not be saved', 50, { err: 'EIO' })}not a line of ours\n`,
    );
    const text = await runCli(['platform', 'logs', '--data', data, '--no-color']);
    expect(text.code).toBe(0);
    expect(text.stdout.split('\n').slice(0, 3)).toEqual([
      expect.stringMatching(/info ready$/),
      expect.stringMatching(/error a deadline could not be saved err="EIO"$/),
      'error not a line of ours',
    ]);
    const { stdout } = await runCli(['platform', 'logs', '--data', data, '--json', '--last', '2']);
    expect(
      stdout
        .trim()
        .split('\n')
        .map((each) => JSON.parse(each) as LogLine),
    ).toEqual([
      { time: at + 1000, level: 'error', message: 'a deadline could not be saved', detail: { err: 'EIO' } },
      { time: null, level: 'error', message: 'not a line of ours', detail: {} },
    ]);
  });

  it('omits older lines with --since', async () => {
    await writeFile(path, line(Date.now() - 7_200_000, 'old') + line(Date.now(), 'new'));
    const { stdout } = await runCli(['platform', 'logs', '--data', data, '--since', '1h', '--json']);
    expect(
      stdout
        .trim()
        .split('\n')
        .map((each) => (JSON.parse(each) as LogLine).message),
    ).toEqual(['new']);
  });

  it('follows new, complete lines, even after the file is truncated', async () => {
    await writeFile(path, line(1, 'one'));
    const controller = new AbortController();
    const seen: string[] = [];
    const reading = (async () => {
      for await (const { message } of readLogs({ data, follow: true, signal: controller.signal }))
        seen.push(message);
    })();
    await expect.poll(() => seen).toEqual(['one']);
    await appendFile(path, line(2, 'two').slice(0, 10));
    await delay(400);
    await appendFile(path, line(2, 'two').slice(10));
    await expect.poll(() => seen).toEqual(['one', 'two']);
    const stop = boundLog(path, 50);
    expect((await stat(path)).size).toBe(0);
    expect((await stat(olderLog(path))).size).toBeGreaterThan(50);
    await delay(400);
    await appendFile(path, line(3, 'three'));
    await expect.poll(() => seen).toEqual(['one', 'two', 'three']);
    stop();
    controller.abort();
    await reading;
  });

  it('exits with 4 if there is no log', async () => {
    const { code, json } = await runCli(['platform', 'logs', '--data', data, '--json']);
    expect(code).toBe(4);
    expect(json).toMatchObject({ error: { code: 'AIOT_FILE_NOT_FOUND' } });
  });
});
