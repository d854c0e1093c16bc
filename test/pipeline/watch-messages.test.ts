import { existsSync, readFileSync } from 'node:fs';
import { appendFile, mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, vi } from 'vitest';
import { writeContexts } from '../../src/lib/core/contexts.js';
import { pipelineHistory } from '../../src/lib/pipeline/status.js';
import { controlTrigger } from '../../src/lib/pipeline/watch/messages.js';
import type { WatchEvent } from '../../src/lib/pipeline/watch/watch.js';
import { watchPipeline } from '../../src/lib/pipeline/watch/watch-pipeline.js';
import { signatureHeaders } from '../../src/lib/stream/http/headers.js';
import { runCli } from '../support/cli.js';
import { fakeSource } from '../support/fake-streams.js';
import { freePort } from '../support/free-port.js';
import { refusal } from '../support/up.js';
import { quickClock } from '../support/update.js';
import { mill, tidyProjects } from './project.js';

tidyProjects();

it('pipeline watch starts a run for the guide’s control messages, and responds once per new version with the model file', async () => {
  const source = fakeSource();
  const fired: string[] = [];
  const answered: string[] = [];
  const trigger = controlTrigger(
    { open: async () => source, clock: quickClock, trouble: () => {} },
    {
      answer: async (payload) => void answered.push(Buffer.from(payload).toString()),
      nameOf: async ({ name, version }) => `${name}-${version}.tflite`,
    },
  );
  const stop = new AbortController();
  const watching = trigger.watch((text) => void fired.push(text), stop.signal);
  await trigger.succeeded?.({ name: 'm', version: 1, digest: '' });
  for (const text of [
    '{"command": "extract-data", "payload" : "raw.csv"}',
    '{"command":"train-model","payload":""}\0',
    '{"command":"download-model","payload":"m-1.tflite"}',
    'null',
    'no JSON',
    '{"payload":"x"}',
  ]) {
    source.give({ payload: Buffer.from(text) });
  }
  await expect.poll(() => source.acked.length).toBe(6);
  expect(fired).toEqual(['extract-data raw.csv', 'train-model']);
  await trigger.succeeded?.({ name: 'm', version: 2, digest: '' });
  await trigger.succeeded?.({ name: 'm', version: 3, digest: '' });
  expect(answered).toEqual(['{"command":"download-model","payload":"m-2.tflite"}']);
  stop.abort();
  source.end();
  await watching;
});

it('pipeline watch with a webhook runs only for a signed request, and stops cleanly', async () => {
  const port = await freePort();
  const { dir } = await mill(`  on: { webhook: { port: ${port}, path: /run } }\n`);
  const events: WatchEvent[] = [];
  const stop = new AbortController();
  let started: (watched: string[]) => void = () => {};
  const ready = new Promise<string[]>((resolve) => {
    started = resolve;
  });
  const watching = watchPipeline({
    ...{ dir, signal: stop.signal },
    onEvent: (event) => void events.push(event),
    onStart: started,
  });
  expect((await ready)[0]).toContain(`http://127.0.0.1:${port}/run`);
  const secrets = join(process.env.AIOT_CONFIG_DIR!, 'pipeline-secrets.json');
  expect((await stat(secrets)).mode & 0o777).toBe(0o600);
  const secret = JSON.parse(readFileSync(secrets, 'utf8'))[dir];
  const body = Buffer.from('{"command":"train-model"}');
  const post = (headers: Record<string, string>) =>
    fetch(`http://127.0.0.1:${port}/run`, { method: 'POST', body, headers }).then(({ status }) => status);
  await expect.poll(() => post({}).catch(() => 0)).toBe(401);
  expect(await post(signatureHeaders('whsec_b3RoZXI=', body))).toBe(401);
  expect(events).toEqual([]);
  expect(await post(signatureHeaders(secret, body))).toBe(200);
  await expect.poll(() => events.at(-1)?.event, { timeout: 20_000 }).toBe('ended');
  expect(events).toMatchObject([
    { event: 'triggered', kind: 'webhook', text: 'a webhook: train-model', coalesced: false },
    { event: 'started', cause: { kind: 'webhook' } },
    { event: 'ended', state: 'done' },
  ]);
  stop.abort();
  await watching;
  expect(await pipelineHistory({ dir })).toMatchObject([{ cause: { kind: 'webhook' }, state: 'done' }]);
});

it('pipeline watch prints each event as a line until stopped, and counts the rows of a table', async () => {
  const { dir } = await mill('  on: { rows: 2 }\nmodel: { table: { file: rows.csv } }\n');
  expect(existsSync(join(dir, 'rows.csv'))).toBe(false);
  await appendFile(join(dir, 'rows.csv'), 'a,label\n1,x\n2,y\n');
  const watching = runCli(['pipeline', 'watch', '--project', dir, '--json']);
  await expect
    .poll(async () => (await pipelineHistory({ dir })).map(({ state }) => state), { timeout: 20_000 })
    .toEqual(['done']);
  await expect.poll(() => existsSync(join(dir, '.aiot/pipeline/watch.json'))).toBe(true);
  process.emit('SIGTERM', 'SIGTERM');
  const { stdout, code } = await watching;
  expect(code).toBe(0);
  expect(
    stdout
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as WatchEvent).event),
  ).toEqual(['triggered', 'started', 'ended']);
  expect(JSON.parse(readFileSync(join(dir, '.aiot/pipeline/watch.json'), 'utf8'))).toEqual({ rows: 2 });
});

it('pipeline watch rejects a project without triggers and an invalid cron pattern', async () => {
  const { dir } = await mill();
  expect(await refusal(['pipeline', 'watch', '--project', dir])).toMatchObject({ code: 'AIOT_USAGE' });
  const { dir: other } = await mill('  on: { cron: "61 * * * *" }\n');
  expect(await refusal(['pipeline', 'watch', '--project', other])).toMatchObject({
    code: 'AIOT_PROJECT_INVALID',
    message: expect.stringMatching(/pipeline\.on\.cron: expected minutes from 0 to 59; got "61 /),
  });
});

it('pipeline watch rejects a row trigger if the data source does not count rows', async () => {
  const config = await mkdtemp(join(tmpdir(), 'aiot-watch-context-'));
  const url = 'https://127.0.0.1:9';
  vi.stubEnv('AIOT_CONFIG_DIR', config);
  try {
    await writeContexts({ contexts: { plant: { kind: 'architects-guide', url } } });
    const { dir } = await mill('  on: { rows: 2 }\nmodel: { table: { file: rows.csv } }\n');
    const argv = ['pipeline', 'watch', '--project', dir, '--context', 'plant'];
    expect(await refusal(argv)).toMatchObject({
      code: 'AIOT_USAGE',
      message: expect.stringContaining('pipeline.on.rows: plant does not count rows'),
    });
  } finally {
    vi.unstubAllEnvs();
    await rm(config, { recursive: true });
  }
});
