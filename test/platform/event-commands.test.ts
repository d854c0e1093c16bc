import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as z from 'zod';
import { jobSchema, jobsSchema } from '../../src/lib/api/contract/jobs.js';
import {
  removedWebhookSchema,
  webhookSchema,
  webhookSecretSchema,
  webhooksSchema,
  webhookTestSchema,
} from '../../src/lib/api/contract/webhooks.js';
import { eventSchema } from '../../src/lib/api/events/api.js';
import { runCli } from '../support/cli.js';
import { ok, refusal, type UpForTests, upForTests } from '../support/up.js';

let own: UpForTests;
beforeAll(async () => {
  own = await upForTests();
});
afterAll(() => own.stop());

describe('aiot events', () => {
  it('prints the requested number of events as lines of JSON, and exits', async () => {
    const { stdout, code } = await runCli(['events', 'tail', '--from', '0', '--json', '--count', '2']);
    expect(code).toBe(0);
    const lines = stdout.trimEnd().split('\n');
    expect(lines).toHaveLength(2);
    const events = lines.map((line) => eventSchema.parse(JSON.parse(line)));
    expect(events[0]?.id).toBeLessThan(events[1]?.id ?? 0);
  });

  it('prints events as text with their authors, filtered by type or subject', async () => {
    const { stdout, stderr } = await runCli(['events', 'tail', '--type', 'trust.*']);
    expect(stdout).toMatch(/trust\.set\s+trust\s+by \S+/);
    expect(stderr).toContain('1 event');
    expect((await runCli(['events', 'tail', '--subject', 'nobody'])).stdout).toBe('');
  });

  it('selects types of three parts, and groups of them', async () => {
    await runCli(['alarm', 'target', 'add', 'desk', 'mqtt://127.0.0.1:1883/alarms', '--allow-private']);
    for (const type of ['alarm.target.add', 'alarm.target.*', 'alarm.*']) {
      const { stdout, code } = await runCli(['events', 'tail', '--from', '0', '--type', type]);
      expect([code, stdout], type).toEqual([0, expect.stringMatching(/alarm\.target\.add\s+desk/)]);
    }
  });

  it('rejects invalid types, invalid positions and positions not reached yet, and times out without events', async () => {
    expect(await refusal(['events', 'tail', '--from', 'yesterday'])).toMatchObject({
      code: 'AIOT_USAGE',
      exit: 2,
    });
    expect(await refusal(['events', 'tail', '--type', 'Device'])).toMatchObject({
      code: 'AIOT_USAGE',
      exit: 2,
    });
    // An unknown type selects no events, and its webhook would never be called.
    for (const [typo, meant] of [
      ['devic.connect', 'device.connect'],
      ['job.*,devices.*', 'device.*'],
    ] as const)
      for (const command of [
        ['events', 'tail'],
        ['webhook', 'add', 'https://example.com'],
      ])
        expect(await refusal([...command, '--type', typo])).toMatchObject({
          code: 'AIOT_USAGE',
          message: `--type: expected a type such as device.connect or device.*, got "${typo.split(',').at(-1)}". Did you mean ${meant}?`,
        });
    expect((await refusal(['events', 'tail', '--type', 'weather.change'])).message).not.toContain(
      'Did you mean',
    );
    expect(await refusal(['events', 'tail', '--from', '999999'])).toMatchObject({
      code: 'AIOT_EVENTS_GONE',
      exit: 4,
    });
    expect(
      await refusal(['events', 'tail', '--from', 'now', '--count', '1', '--timeout', '200ms']),
    ).toMatchObject({
      ...{ code: 'AIOT_TIMEOUT', exit: 124 },
    });
  });
});

describe('aiot webhook', () => {
  it('adds, lists, tests, rotates, enables and removes a webhook', async () => {
    const server = createServer((_, answer) => answer.end()).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/x`;
    expect(await refusal(['webhook', 'add', url])).toMatchObject({ code: 'AIOT_WEBHOOK_TARGET', exit: 2 });
    const { webhook, secret } = await ok(webhookSecretSchema, [
      ...['webhook', 'add', url, '--allow-private', '--type', 'job.*,device.connect'],
    ]);
    expect(webhook).toMatchObject({ url, types: ['job.*', 'device.connect'], enabled: true });
    expect(await ok(z.array(webhookSchema), ['webhook', 'list'])).toHaveLength(1);
    expect((await runCli(['webhook', 'list'])).stdout).toContain(webhook.id);
    const typo = `${webhook.id.slice(0, -1)}_`;
    expect((await refusal(['webhook', 'show', typo])).message).toBe(
      `the webhook ${typo} does not exist. Did you mean ${webhook.id}?`,
    );
    const other = `${webhook.id.slice(0, -16)}${'_'.repeat(16)}`;
    expect((await refusal(['webhook', 'show', other])).message).not.toContain('Did you mean');
    expect(await ok(webhookTestSchema, ['webhook', 'test', webhook.id])).toMatchObject({ delivered: true });
    const rotated = await ok(webhookSecretSchema, ['webhook', 'rotate', webhook.id]);
    expect(rotated.secret).not.toBe(secret);
    expect((await ok(webhookSchema, ['webhook', 'enable', webhook.id])).enabled).toBe(true);
    const shown = (await runCli(['webhook', 'show', webhook.id])).stdout;
    expect(shown).toContain('job.*, device.connect');
    expect(shown).not.toContain('whsec_');
    server.close();
    server.closeAllConnections();
    const failed = await runCli(['webhook', 'test', webhook.id]);
    expect(failed.code).toBe(6);
    expect(failed.stdout).toContain('ECONNREFUSED');
    expect(await ok(removedWebhookSchema, ['webhook', 'remove', '--yes', webhook.id])).toMatchObject({
      id: webhook.id,
    });
    expect(await refusal(['webhook', 'show', webhook.id])).toMatchObject({ code: 'AIOT_NOT_FOUND', exit: 4 });
    expect(webhooksSchema.shape.webhooks.parse([])).toEqual([]);
  });
});

describe('aiot job', () => {
  it('starts, waits for, lists, shows and cancels jobs', async () => {
    const done = await ok(jobSchema, ['job', 'start', 'blob.sweep', '--wait', '--timeout', '20s']);
    expect(done).toMatchObject({ state: 'done', result: { removed: 0 } });
    const failed = await runCli([
      'job',
      'start',
      'dataset.export',
      '--request',
      '{"stream":"none"}',
      '--wait',
    ]);
    expect(failed.code).toBe(1);
    expect(failed.stdout).toContain('AIOT_NOT_FOUND');
    expect(await refusal(['job', 'start', 'blob.sweep', '--request', '[]'])).toMatchObject({
      code: 'AIOT_USAGE',
    });
    expect(await refusal(['job', 'start', 'nothing'])).toMatchObject({ code: 'AIOT_REQUEST_INVALID' });
    const { id } = await ok(jobSchema, ['job', 'start', 'external']);
    expect(
      (await ok(jobsSchema.shape.jobs, ['job', 'list', '--state', 'running'])).map((job) => job.id),
    ).toEqual([id]);
    expect(await ok(jobSchema, ['job', 'cancel', id])).toMatchObject({ cancelled: true });
    expect((await runCli(['job', 'show', id])).stdout).toContain('canceling');
    const late = await refusal(['job', 'wait', id, '--timeout', '300ms']);
    expect(late).toMatchObject({ code: 'AIOT_TIMEOUT', exit: 124 });
    expect((await runCli(['job', 'list'])).stdout).toContain(done.id);
    expect(await refusal(['job', 'cancel', done.id])).toMatchObject({ code: 'AIOT_JOB_ENDED', exit: 2 });
  });
});
