import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createClient, type RegistryClient } from '../../src/lib/api/client.js';
import type { ToldRun, ToldStep } from '../../src/lib/api/contract/jobs.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';

let own: TestPlatform;
beforeAll(async () => {
  own = await testPlatform();
});
afterAll(() => own.stop());

const runId = (i: number) => `run_${String(i).padStart(26, '0')}`;

function toldStep(name: string, more: Partial<ToldStep> = {}): ToldStep {
  return {
    ...{
      name,
      about: `does ${name}`,
      needs: [],
      gate: null,
      conditional: false,
      state: 'waiting',
      cached: false,
    },
    ...{
      seconds: 0,
      attempts: 0,
      exit: null,
      peakBytes: null,
      reason: null,
      error: null,
      started: null,
      ended: null,
    },
    ...{ key: null, inputs: {}, outputs: {}, result: null, log: '' },
    ...more,
  };
}

function toldRun(more: Partial<ToldRun> = {}): ToldRun {
  return {
    ...{ state: 'running', cause: { kind: 'manual', text: 'started manually' }, who: 'somebody', started: 1 },
    ...{ ended: null, seconds: 0, aiot: '0.1.0', engine: 'local', model: null },
    steps: [
      toldStep('extract', { state: 'done', result: { rows: 3 } }),
      toldStep('train', { needs: ['extract'] }),
    ],
    ...more,
  };
}

async function as(client: RegistryClient, role: 'viewer' | 'ci') {
  const { token } = await client.tokens.create({ name: role, role });
  return createClient({ url: own.platform.urls.http, ca: own.ca, token });
}

describe('pipeline runs', () => {
  it('keep the last reported state, are listed in short form, and record each change as an event', async () => {
    const { runs, events } = own.client;
    await runs.tell('watch', runId(1), toldRun());
    const steps = [
      toldStep('extract', { state: 'done' }),
      toldStep('train', { state: 'failed', log: 'no data' }),
    ];
    await runs.tell('watch', runId(1), toldRun({ state: 'failed', ended: 9, steps }));
    await runs.tell('watch', runId(2), toldRun());
    await runs.tell('other', runId(3), toldRun());
    expect((await runs.get('watch', runId(1))).steps[1]).toMatchObject({ state: 'failed', log: 'no data' });
    expect((await runs.list('watch')).map(({ run, state }) => [run, state])).toEqual([
      [runId(2), 'running'],
      [runId(1), 'failed'],
    ]);
    expect((await runs.projects()).map(({ project, run }) => [project, run])).toEqual([
      ['other', runId(3)],
      ['watch', runId(2)],
    ]);
    const told = await events.page({ from: 0, types: ['pipeline.*'], subject: 'watch' });
    expect(
      told.events.slice(0, 4).map(({ type, data }) => [type, data.step ?? null, data.state ?? null]),
    ).toEqual([
      ['pipeline.start', null, null],
      ['pipeline.step', 'extract', 'done'],
      ['pipeline.step', 'train', 'failed'],
      ['pipeline.end', null, 'failed'],
    ]);
    await expect(runs.get('watch', runId(7))).rejects.toMatchObject({
      code: 'AIOT_NOT_FOUND',
      subject: 'run',
    });
  });

  it('are reported by the ci role but not by a viewer, and limited to the newest 100 per project', async () => {
    const [viewer, ci] = await Promise.all([as(own.client, 'viewer'), as(own.client, 'ci')]);
    await expect(viewer.runs.tell('many', runId(1), toldRun())).rejects.toMatchObject({
      code: 'AIOT_NOT_ALLOWED',
    });
    for (let i = 1; i <= 103; i++) await ci.runs.tell('many', runId(i), toldRun({ steps: [] }));
    const all = await viewer.runs.list('many');
    expect([all.length, all[0]?.run, all.at(-1)?.run]).toEqual([100, runId(103), runId(4)]);
    await Promise.all([viewer.close(), ci.close()]);
  });

  it('are rejected if invalid', async () => {
    const { runs } = own.client;
    await expect(runs.tell('watch', 'run_1', toldRun())).rejects.toMatchObject({
      code: 'AIOT_REQUEST_INVALID',
    });
    await expect(runs.tell('a/b', runId(1), toldRun())).rejects.toMatchObject({
      code: 'AIOT_REQUEST_INVALID',
    });
    const long = toldRun({ steps: [toldStep('x', { log: 'x'.repeat(9000) })] });
    await expect(runs.tell('watch', runId(1), long)).rejects.toMatchObject({ code: 'AIOT_REQUEST_INVALID' });
  });
});
