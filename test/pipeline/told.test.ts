import { afterAll, beforeAll, expect, it } from 'vitest';
import { clientFor } from '../../src/lib/api/context.js';
import { addContext } from '../../src/lib/core/contexts.js';
import { runPipeline } from '../../src/lib/pipeline/run/run-pipeline.js';
import { type UpForTests, upForTests } from '../support/up.js';
import { mill, tidyProjects } from './project.js';

tidyProjects();

let own: UpForTests;
beforeAll(async () => {
  own = await upForTests();
});
afterAll(() => own.stop());

it('a pipeline reports its run to the context’s platform: steps, dependencies and results', async () => {
  const { dir } = await mill();
  const record = await runPipeline({ dir, context: 'local' });
  const client = await clientFor('local');
  const told = await client.runs.get(record.project, record.run);
  expect(told).toMatchObject({ state: 'done', who: record.who, seconds: record.seconds });
  expect(told.steps.map(({ name, state, needs }) => [name, state, needs])).toEqual([
    ['first', 'done', []],
    ['left', 'done', ['first']],
    ['right', 'done', ['first']],
    ['last', 'done', expect.arrayContaining(['left', 'right'])],
  ]);
  expect(told.steps[3]).toMatchObject({ result: { sum: 10_111 } });
  expect(told.steps[3]?.outputs).toEqual(
    expect.objectContaining({ sum: { digest: record.steps[3]?.outputs.sum?.digest, bytes: 5 } }),
  );
  const { events } = await client.events.page({ from: 0, types: ['pipeline.*'] });
  expect(events.filter(({ type }) => type === 'pipeline.end')).toHaveLength(1);
  await client.close();
});

it('a pipeline completes its run even if the platform is unreachable', async () => {
  // A port without a listener.
  await addContext('away', { url: 'https://127.0.0.1:9', ca: own.ca, token: `aiot_${'A'.repeat(43)}` }, {});
  const { dir } = await mill();
  const record = await runPipeline({ dir, context: 'away' });
  expect(record.state).toBe('done');
});
