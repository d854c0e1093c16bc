import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { ask, type TestGuide, testGuide } from '../support/guide.js';
import { goStep, pythonStep, startBoard } from '../support/guide-programs.js';
import { type KafkaBroker, kcat, startKafka } from '../support/kafka.js';
import { describeReal, guideClients } from '../support/real.js';

const [data, control] = ['shaded-pole-motor-sensor_data', 'control-message'];
const readings = 96;
const uploaded = { status: 200, body: '' };

describeReal('kafka', 'the guide’s pipeline on the platform', () => {
  describeReal('guide-clients', 'with its Go steps', () => {
    describeReal('guide', 'and its Python steps', () => {
      let kafka: KafkaBroker;
      let own: TestGuide;
      let board: ReturnType<typeof startBoard> | undefined;
      /** The results of the previous steps. */
      const left: Record<string, string> = {};

      beforeAll(async () => {
        kafka = await startKafka({ version: '3.9.1' });
        // Here, the guide's own program ingests the readings.
        own = await testGuide({ compatMaxRows: 0, engines: { events: `kafka://${kafka.address}` } });
      }, 60_000);
      afterAll(async () => {
        await board?.stop();
        await own?.stop();
        await kafka?.stop();
      });

      const text = async (url: string, path: string) => (await ask(url, path, { ca: own.ca })).text;
      const names = (listing: string) => [...listing.matchAll(/>([^<]+)<\/a>/g)].map(([, name]) => name!);
      const said = () => kcat(kafka.address, control, '%p|%k|%s\n').split('\n').slice(0, -1);

      it('ingests a board’s readings through Kafka unchanged, into a file that is announced', async () => {
        const { devices, models, mqtt } = own.urls;
        board = startBoard(['14333616', devices, models, mqtt, String(readings)]);
        await board.sent;
        const upload = `${own.urls.datasets}/upload`;
        const told = await goStep(['ingest', kafka.address, data, control, upload, String(readings)]);
        expect(told).toMatchObject({ ...uploaded, length: 0, protocol: 'HTTP/1.1' });
        const file = String(told.file);
        expect(names(await text(own.urls.datasets, '/'))).toEqual([file]);
        const lines = (await text(own.urls.datasets, `/${file}`)).split('\n');
        expect(lines).toHaveLength(readings + 2);
        expect(lines[0]).toBe('deviceID,timeStamp,current,temperature,vibration,sound');
        expect(lines[8]).toMatch(/^14333616,\d{13},9\.4,24\.6,9\.2,63\.0$/);
        expect(said()).toEqual([`0||{"command": "extract-data", "payload" : "${file}"}`]);
        left.raw = file;
      }, 60_000);

      it('extracts the announced file, and uploads it with labels', async () => {
        const { datasets, models } = own.urls;
        const told = await goStep([
          ...['extract', kafka.address, control, `${datasets}/`, `${models}/uploadNormalizedData`],
        ]);
        expect(told).toMatchObject({ ...uploaded, length: 0, from: left.raw });
        const rows = (await text(models, `/normalized_training_data/${told.file}`)).split('\n');
        expect(rows).toHaveLength(readings + 1);
        expect(rows[0]).toMatch(/^14333616,\d{13},0\.4,24\.5,0\.2,60\.0,[01]$/);
        left.normalized = String(told.file);
      }, 60_000);

      it('detects drift: reads the folder as XML, with // and ./ in paths, and requests training', async () => {
        const told = await pythonStep([
          'drift',
          kafka.address,
          `${own.urls.models}/normalized_training_data/`,
          '6',
        ]);
        expect(told).toEqual({
          files: [`./${left.normalized}`],
          ...{ rows: readings, apart: readings / 8, file: left.normalized },
        });
        expect(said()[1]).toBe(`0||{"command": "train-model", "payload": "${left.normalized}"}`);
      }, 60_000);

      it('trains and quantizes: a SavedModel in a zip becomes a model that is announced to boards', async () => {
        const { models } = own.urls;
        const training = [kafka.address, `${models}/normalized_training_data/`, `${models}/uploadModel`];
        const trained = await pythonStep(['train', ...training], { tensorflow: true });
        expect(trained).toMatchObject({
          ...uploaded,
          length: '0',
          file: left.normalized,
          rows: readings - 1,
        });
        const quantizing = [kafka.address, `${models}/full`, `${models}/uploadQuantizedModel`];
        const { sent, end } = (await pythonStep(['quantize', ...quantizing], { tensorflow: true })) as {
          sent: Record<string, unknown>[];
          end: string;
        };
        expect(end).toBe(`${models}/full/`);
        expect(sent).toHaveLength(1);
        expect(sent[0]).toMatchObject({ ...uploaded, length: '0' });
        expect(names(await text(models, '/full/'))).toEqual([sent[0]?.of]);
        expect(names(await text(models, '/quantized/'))).toEqual([sent[0]?.file]);
        expect(said()[2]).toBe(`0||{"command": "download-model", "payload": "${sent[0]?.file}"}`);
        Object.assign(left, { model: sent[0]?.file, sha256: sent[0]?.sha256, bytes: String(sent[0]?.bytes) });
      }, 120_000);

      it('notifies the board in that order; the board downloads exactly the pushed bytes', async () => {
        expect(await board?.ended).toEqual({
          answers: [
            [200, 'FALSE', '5'],
            [200, '', '0'],
            [200, 'TRUE', '4'],
          ],
          heard: [
            ['extract-data', left.raw, expect.any(Number)],
            ['train-model', left.normalized, expect.any(Number)],
            ['download-model', left.model, expect.any(Number)],
          ],
          ...{ status: 200, version: 11, sha256: left.sha256 },
          head: { 'content-length': left.bytes, 'transfer-encoding': null, 'content-encoding': null },
        });
        expect(await pythonStep(['infer', `${own.urls.models}/quantized`])).toEqual({
          ...{ end: `${own.urls.models}/quantized/`, file: left.model, sha256: left.sha256 },
        });
        const versions = await own.client.models.versions('model');
        expect(versions).toMatchObject([
          { kind: 'upload', trusted: false },
          { kind: 'upload', trusted: false },
        ]);
        expect(versions.map(({ digest }) => digest)).toContain(`sha256:${left.sha256}`);
      }, 60_000);

      it('stores each reading once when the platform ingests again, even in the oldest protocol', async () => {
        await own.restart({ compatMaxRows: 20 });
        const line = (current: number) =>
          `{"deviceID": "9", "timeStamp": "1", "current": ${current}, "temperature": 20, "vibration": 0.5, "sound": 60}\n`;
        const sent = spawnSync(guideClients, ['produce', kafka.address, data], {
          ...{ input: [1, 2, 3, 4].map(line).join(''), encoding: 'utf8', timeout: 30_000 },
        });
        expect(sent.stdout, sent.stderr).toBe('{"sent":4}\n');
        const fresh = async () =>
          names(await text(own.urls.datasets, '/')).filter((name) => name !== left.raw);
        await expect.poll(fresh, { timeout: 20_000 }).toHaveLength(5);
        const files = await Promise.all((await fresh()).map((name) => text(own.urls.datasets, `/${name}`)));
        const rows = files.flatMap((file) => file.split('\n').slice(1, -1));
        expect(rows).toHaveLength(readings + 4);
        expect(rows.slice(-4)).toEqual([1, 2, 3, 4].map((current) => `9,1,${current}.0,20.0,0.5,60.0`));
        const model = await ask(own.urls.models, `/quantized/${left.model}`, { ca: own.ca });
        expect(createHash('sha256').update(model.body).digest('hex')).toBe(left.sha256);
      }, 60_000);
    });
  });
});
