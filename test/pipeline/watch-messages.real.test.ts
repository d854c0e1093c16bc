import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { addContext } from '../../src/lib/core/contexts.js';
import type { WatchEvent } from '../../src/lib/pipeline/watch/watch.js';
import { watchPipeline } from '../../src/lib/pipeline/watch/watch-pipeline.js';
import { root } from '../support/cli.js';
import { ask } from '../support/guide.js';
import { kcat, kcatWrite, startKafka } from '../support/kafka.js';
import { mosquittoPub, startMosquitto } from '../support/mosquitto.js';
import { connect } from '../support/mqtt.js';
import { describeReal } from '../support/real.js';
import { type UpForTests, upForTests } from '../support/up.js';
import { projectOf, tidyProjects } from './project.js';
import { pumpRows, pumpYaml } from './project-of-rows.js';

tidyProjects();

const topic = 'control-message';
let own: UpForTests;
let dir: string;

beforeAll(async () => {
  own = await upForTests({ compat: ['architects-guide'] });
  const kind = 'architects-guide' as const;
  await addContext('guide', { kind, url: own.guide?.models ?? '', ca: own.ca }, {});
  dir = await projectOf({ 'rows.csv': pumpRows(120) });
}, 60_000);
afterAll(() => own?.stop());

/** Watches a topic until the first run, which is requested by the messages from `say`, has ended. */
async function oneRun(
  control: string,
  context: string | undefined,
  say: () => unknown,
): Promise<WatchEvent[]> {
  await writeFile(join(dir, 'aiot.yaml'), pumpYaml(`pipeline: { on: { control: '${control}' } }\n`));
  const stop = new AbortController();
  const events: WatchEvent[] = [];
  let over: () => void = () => {};
  const ended = new Promise<void>((resolve) => {
    over = resolve;
  });
  const watching = watchPipeline({
    ...{ dir, signal: stop.signal, self: [process.execPath, join(root, 'bin', 'run.js')] },
    ...(context ? { context } : {}),
    onStart: () => {},
    onEvent: (event) => {
      events.push(event);
      if (event.event === 'ended') over();
    },
  });
  // Nothing indicates when a consumer has reached the end of a topic, so the request is repeated, which causes one
  // or two runs.
  const saying = setInterval(() => events.length === 0 && say(), 500);
  try {
    await Promise.race([ended, watching]);
  } finally {
    clearInterval(saying);
  }
  // The response is sent after the run has ended, even if the watch is stopped then.
  stop.abort();
  await watching;
  return events;
}

describeReal('mosquitto', 'pipeline watch with MQTT control messages', () => {
  it('runs, pushes to the guide’s services, and notifies the boards of the download', async () => {
    const broker = await startMosquitto();
    const board = await connect(`mqtt://127.0.0.1:${broker.port}`, { clientId: 'board' });
    try {
      const heard: string[] = [];
      board.on('message', (_topic, payload) => heard.push(payload.toString()));
      await board.subscribeAsync(topic);
      const events = await oneRun(`mqtt://127.0.0.1:${broker.port}/${topic}`, 'guide', () =>
        mosquittoPub(broker.port, topic, '{"command": "extract-data", "payload" : "raw.csv"}'),
      );
      const end = events.find(({ event }) => event === 'ended');
      expect(end).toMatchObject({ state: 'done', model: { version: null } });
      await expect.poll(() => heard.find((text) => text.includes('download-model'))).toBeDefined();
      const answer = heard.find((text) => text.includes('download-model')) ?? '';
      expect(answer.length).toBeLessThan(230);
      const { payload } = JSON.parse(answer) as { payload: string };
      const ca = await readFile(own.ca, 'utf8');
      const there = await ask(own.guide?.models ?? '', `/quantized/${payload}`, { ca });
      expect(there).toMatchObject({ status: 200 });
      expect(there.body.length).toBeGreaterThanOrEqual(11_148);
      expect(heard.filter((text) => text.includes('download-model'))).toHaveLength(1);
    } finally {
      await board.endAsync(true);
      await broker.stop();
    }
  }, 240_000);
});

describeReal('kafka', 'pipeline watch with Kafka control messages', () => {
  it('runs, pushes to a platform, and announces the version’s name for the guide’s clients', async () => {
    const kafka = await startKafka();
    try {
      await kafka.createTopic(topic);
      kcatWrite(kafka.address, topic, '{"command":"train-model","payload":"of yesterday"}\n');
      const events = await oneRun(`kafka://${kafka.address}/${topic}`, undefined, () =>
        kcatWrite(kafka.address, topic, '{"command":"train-model","payload":"rows.csv"}\n'),
      );
      expect(events[0]).toMatchObject({ event: 'triggered', text: 'train-model rows.csv' });
      expect(events.find(({ event }) => event === 'ended')).toMatchObject({
        ...{ state: 'done', model: { name: 'pump', version: 1 } },
      });
      const said = kcat(kafka.address, topic, '%s\n').trim().split('\n');
      const { command, payload } = JSON.parse(said.at(-1) ?? '') as Record<string, string>;
      expect(command).toBe('download-model');
      const ca = await readFile(own.ca, 'utf8');
      const listed = await ask(own.guide?.models ?? '', '/quantized/', { ca });
      expect(listed.text).toContain(payload);
    } finally {
      await kafka.stop();
    }
  }, 240_000);
});
