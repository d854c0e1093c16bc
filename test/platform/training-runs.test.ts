import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createClient, type RegistryClient } from '../../src/lib/api/client.js';
import type { NewToken } from '../../src/lib/api/contract/access.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { publishedRun, trainingRunId } from '../support/published-run.js';

let own: TestPlatform;
beforeAll(async () => {
  own = await testPlatform();
});
afterAll(() => own.stop());

async function as(request: NewToken): Promise<RegistryClient> {
  const { token } = await own.client.tokens.create(request);
  return createClient({ url: own.platform.urls.http, ca: own.ca, token });
}

describe('training runs on the platform', () => {
  it('are stored once, listed newest first, and announced only if they are new', async () => {
    const { trainingRuns, events } = own.client;
    const [first, second] = [publishedRun(1), publishedRun(2)];
    expect(await trainingRuns.publish('watch', [first])).toEqual({ added: 1 });
    expect(await trainingRuns.publish('watch', [{ ...first, seed: 9 }, second])).toEqual({ added: 1 });
    expect(await trainingRuns.publish('watch', [first, second])).toEqual({ added: 0 });
    expect(await trainingRuns.publish('fan', [publishedRun(3, { model: 'fan' })])).toEqual({ added: 1 });
    expect(await trainingRuns.list('watch')).toEqual([second, first]);
    expect(await trainingRuns.models()).toEqual([
      { model: 'fan', runs: 1, newest: publishedRun(3, { model: 'fan' }) },
      { model: 'watch', runs: 2, newest: second },
    ]);
    expect(await trainingRuns.list('none')).toEqual([]);
    const { events: told } = await events.page({ from: 0, types: ['model.runs'] });
    expect(told.map(({ subject, data }) => [subject, data])).toEqual([
      ['watch', { added: 1 }],
      ['watch', { added: 1 }],
      ['fan', { added: 1 }],
    ]);
  });

  it('are published by the role ci and the scope models:push, but not by a viewer', async () => {
    const [viewer, ci, narrow] = await Promise.all([
      as({ name: 'viewer', role: 'viewer' }),
      as({ name: 'ci', role: 'ci' }),
      as({ name: 'narrow', scopes: ['models:push'] }),
    ]);
    await expect(viewer.trainingRuns.publish('watch', [publishedRun(4)])).rejects.toMatchObject({
      code: 'AIOT_NOT_ALLOWED',
    });
    expect(await ci.trainingRuns.publish('watch', [publishedRun(4)])).toEqual({ added: 1 });
    expect(await narrow.trainingRuns.publish('watch', [publishedRun(5)])).toEqual({ added: 1 });
    expect((await viewer.trainingRuns.list('watch'))[0]?.run).toBe(trainingRunId(5));
    await Promise.all([viewer.close(), ci.close(), narrow.close()]);
  });

  it('are limited to the newest 1,000 of a model', async () => {
    const { trainingRuns } = own.client;
    for (let at = 0; at < 1050; at += 50) {
      const runs = Array.from({ length: 50 }, (_, i) => publishedRun(at + i, { model: 'many' }));
      await trainingRuns.publish('many', runs);
    }
    const all = await trainingRuns.list('many');
    expect([all.length, all[0]?.run, all.at(-1)?.run]).toEqual([
      1000,
      trainingRunId(1049),
      trainingRunId(50),
    ]);
  });

  it('are rejected if they are invalid, of another model, or still running', async () => {
    const { trainingRuns } = own.client;
    const rejected = { code: 'AIOT_REQUEST_INVALID' };
    await expect(trainingRuns.publish('fan', [publishedRun(6)])).rejects.toMatchObject({
      ...rejected,
      message: expect.stringContaining('body: runs.0.model: expected fan, got watch'),
    });
    for (const change of [{ run: 'tr_1' }, { state: 'running' }, { seed: 0.5 }, { model: '../x' }]) {
      const run = { ...publishedRun(7), ...change } as never;
      await expect(trainingRuns.publish('watch', [run])).rejects.toMatchObject(rejected);
    }
    await expect(trainingRuns.publish('watch', [])).rejects.toMatchObject(rejected);
    const many = Array.from({ length: 101 }, (_, i) => publishedRun(i));
    await expect(trainingRuns.publish('watch', many)).rejects.toMatchObject(rejected);
  });

  it('survive a restart of the platform', async () => {
    await own.client.trainingRuns.publish('later', [publishedRun(1, { model: 'later' })]);
    await own.restart();
    expect(await own.client.trainingRuns.list('later')).toEqual([publishedRun(1, { model: 'later' })]);
  });
});
