import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { digestOf } from '../../src/lib/core/crypto.js';
import { extractedSchema } from '../../src/lib/data/sources/extract.js';
import type { RunRecord } from '../../src/lib/pipeline/run/record.js';
import { runPipeline } from '../../src/lib/pipeline/run/run-pipeline.js';
import type { WatchEvent } from '../../src/lib/pipeline/watch/watch.js';
import { watchPipeline } from '../../src/lib/pipeline/watch/watch-pipeline.js';
import { runCli } from '../support/cli.js';
import { ask, formOf } from '../support/guide.js';
import { type GuideServices, startGuideServices } from '../support/guide-programs.js';
import { type KafkaBroker, kcat, kcatWrite, startKafka } from '../support/kafka.js';
import { type Mosquitto, startMosquitto } from '../support/mosquitto.js';
import { connect } from '../support/mqtt.js';
import { describeReal } from '../support/real.js';
import { ok } from '../support/up.js';
import { projectOf, tidyProjects } from './project.js';

const topic = 'control-message';
const header = 'deviceID,timeStamp,current,temperature,vibration,sound';

const yaml = (control: string) => `name: plant-motor
model:
  table: { file: rows.csv }
  layers: [8]
  output: probability
  train: { epochs: 20, learningRate: 0.02 }
  accept: { macroF1: 0.8 }
pipeline: { on: { control: '${control}' } }
`;

/**
 * Rows as written by the guide's extract step, without a header, and with two classes that differ in current and
 * vibration.
 */
function labelled(count: number, shift = 0): string {
  return Array.from({ length: count }, (_, i) => {
    const bad = i % 2;
    const wave = Math.sin(i * 1.7) / 2;
    const values = [2 + bad * 3 + wave + shift, 24 + wave, 0.2 + bad * 4, 60 + wave].map((v) => v.toFixed(1));
    return `14333616,${1651869371000 + i},${values.join(',')},${bad}\n`;
  }).join('');
}

describeReal('kafka', 'our pipeline with the guide’s services', () => {
  describeReal('guide-clients', 'served by the guide’s library', () => {
    let guide: GuideServices;
    let kafka: KafkaBroker;
    let dir: string;
    let trust: { ca: string; pinned: boolean };
    tidyProjects();

    const upload = async (path: string, name: string, content: string, place = guide.urls.models) => {
      const { status } = await ask(place, path, { ...trust, method: 'POST', ...formOf(name, content) });
      expect(status).toBe(200);
    };
    const run = () => runPipeline({ dir, context: 'plant' });
    const states = ({ steps }: RunRecord) =>
      steps.map(({ name, state, cached }) => `${name} ${state}${cached ? ' as before' : ''}`);
    const said = () => kcat(kafka.address, topic, '%s\n').split('\n').slice(0, -1);
    const fetched = (name: string) => ask(guide.urls.models, `/quantized/${name}`, trust);

    beforeAll(async () => {
      kafka = await startKafka({ version: '3.9.1' });
      await kafka.createTopic(topic);
      guide = await startGuideServices();
      const control = `kafka://${kafka.address}/${topic}`;
      dir = await projectOf({ 'aiot.yaml': yaml(control) });
      trust = { ca: await readFile(guide.certificate, 'utf8'), pinned: true };
      const where = ['--url', guide.urls.models, '--ca', guide.certificate];
      await runCli(['context', 'add', 'plant', '--kind', 'architects-guide', ...where]);
    }, 60_000);
    afterAll(async () => {
      await guide?.stop();
      await kafka?.stop();
    });

    it('extracts labeled rows, or raw rows for an autoencoder, with the project’s columns', async () => {
      await upload(
        '/uploadNormalizedData',
        'normalized_training_data_2022-05-06T20:36:11:1.csv',
        labelled(120),
      );
      await upload(
        '/uploadNormalizedData',
        'normalized_training_data_2022-05-06T20:36:12:2.csv',
        'no row\n7,8,x,1,1,1,0\n',
      );
      await upload('/upload', 'raw_1:1.csv', `${header}\n7,1,0.4,24.5,0.2,60.0\n`, guide.urls.datasets);
      const out = join(dir, 'extracted.csv');
      const extract = ['data', 'extract', '--project', dir, '--out', out];
      expect(await ok(extractedSchema, extract)).toMatchObject({ source: 'guide', rows: 120, malformed: 2 });
      const [first, second] = (await readFile(out, 'utf8')).split('\n');
      expect([first, second]).toEqual(['current,temperature,vibration,sound,label', '2.0,24.0,0.2,60.0,0']);
      const other = await projectOf({
        'aiot.yaml':
          'name: usual\nmodel: { kind: autoencoder, table: { file: rows.csv, inputs: [sound, current] } }\n',
      });
      const raw = ['data', 'extract', '--project', other, '--out', join(other, 'raw.csv')];
      expect((await runCli(raw)).stdout).toContain("1 row of the guide's services");
      expect(await readFile(join(other, 'raw.csv'), 'utf8')).toBe('sound,current\n60.0,0.4\n');
    }, 30_000);

    it('trains on the rows, pushes to the guide’s model registry, and notifies the boards', async () => {
      const first = await run();
      expect(states(first)).toEqual([
        'extract done',
        'drift skipped as before',
        ...['train done', 'quantize done', 'evaluate done', 'push done', 'rollout done'],
      ]);
      const { name = '', version, digest } = first.model ?? {};
      expect(version).toBeNull();
      expect(said()).toEqual([JSON.stringify({ command: 'download-model', payload: name })]);
      const { body, headers } = await fetched(name);
      expect(digestOf(body)).toBe(digest);
      expect(headers['content-length']).toBe('11148');

      // The datastore lists the same files as before, and boards that were offline are now notified.
      const again = await run();
      expect(states(again)).toEqual([
        'extract done as before',
        'drift done as before',
        ...['train', 'quantize', 'evaluate', 'push'].map((step) => `${step} done as before`),
        'rollout done',
      ]);
      expect(again.model).toEqual(first.model);
      expect(said()).toHaveLength(2);
    }, 120_000);

    it('runs on request with the rows added since', async () => {
      await upload(
        '/uploadNormalizedData',
        'normalized_training_data_2022-05-06T20:36:13:3.csv',
        labelled(40, 0.3),
      );
      const events: WatchEvent[] = [];
      const stop = new AbortController();
      const before = said().length;
      let start = () => {};
      const started = new Promise<void>((resolve) => {
        start = resolve;
      });
      const watching = watchPipeline({
        ...{ dir, context: 'plant', signal: stop.signal },
        onStart: () => start(),
        onEvent: (event) => void events.push(event),
      });
      await started;
      // Its source reads only messages sent after it is connected, so the request is repeated.
      const asking = setInterval(() => {
        if (events.length === 0)
          kcatWrite(kafka.address, topic, '{"command": "train-model", "payload": "normalized.csv"}\n');
      }, 1000);
      await expect
        .poll(() => events.find(({ event }) => event === 'ended'), { timeout: 60_000 })
        .toBeTruthy();
      clearInterval(asking);
      stop.abort();
      await watching;
      const ended = events.find((event) => event.event === 'ended');
      expect(ended).toMatchObject({ state: 'done', model: { version: null } });
      const answers = said()
        .slice(before)
        .filter((message) => message.includes('download-model'));
      expect(answers).toEqual([JSON.stringify({ command: 'download-model', payload: ended?.model?.name })]);
      expect((await fetched(ended?.model?.name ?? '')).status).toBe(200);
    }, 120_000);

    describeReal('mosquitto', 'with boards on Mosquitto', () => {
      let mosquitto: Mosquitto;
      beforeAll(async () => {
        mosquitto = await startMosquitto();
      });
      afterAll(() => mosquitto?.stop());

      it('notifies the boards there, and skips the rollout without a control address', async () => {
        const url = `mqtt://127.0.0.1:${mosquitto.port}`;
        const board = await connect(url, { clientId: '14333616' });
        const heard = new Promise<string>((resolve) =>
          board.on('message', (_topic, payload) => resolve(payload.toString())),
        );
        await board.subscribeAsync(topic);
        await writeFile(join(dir, 'aiot.yaml'), yaml(`${url}/${topic}`));
        const { model, steps } = await run();
        expect(await heard).toBe(JSON.stringify({ command: 'download-model', payload: model?.name }));
        expect(steps.filter(({ cached }) => !cached).map(({ name }) => name)).toEqual(['rollout']);
        board.end(true);
        await writeFile(join(dir, 'aiot.yaml'), yaml('').replace(/\npipeline.*\n/, '\n'));
        expect((await run()).steps.at(-1)).toMatchObject({
          ...{ name: 'rollout', state: 'skipped', cached: true },
          reason: 'pipeline.on.control does not set how to notify boards',
        });
      }, 60_000);
    });
  });
});
