import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import type { RegistryClient } from '../../src/lib/api/client.js';
import { clientFor } from '../../src/lib/api/context.js';
import { readContexts } from '../../src/lib/core/contexts.js';
import { digestOf } from '../../src/lib/core/crypto.js';
import { simulateMotor } from '../../src/lib/data/motor.js';
import { type RunResult, runResultSchema } from '../../src/lib/pipeline/run/result.js';
import { runPipeline } from '../../src/lib/pipeline/run/run-pipeline.js';
import { initProject } from '../../src/lib/project/init.js';
import { type Bucket, openBucket } from '../../src/lib/stream/s3/client.js';
import { type ArgoServer, startArgo } from '../support/argo.js';
import { root } from '../support/cli.js';
import { type FakeFleet, fakeFleet } from '../support/fake-fleet.js';
import { type KafkaBroker, kcat, startKafka } from '../support/kafka.js';
import { connect } from '../support/mqtt.js';
import { type Postgres, startPostgres } from '../support/postgres.js';
import { describeReal } from '../support/real.js';
import { rolloutEnd } from '../support/rollout.js';
import { type S3Server, startVersitygw } from '../support/s3.js';
import { ok, type UpForTests, upForTests } from '../support/up.js';
import type { ArtifactStore } from '../support/workflow-runner.js';

const stream = 'shaded-pole-motor-sensor_data';
const states = ['healthy', 'bearing', 'blocked', 'imbalance', 'worn'] as const;
const rate = 200;
/** Path of the built program, which containers run. */
const program = join(root, 'bin', 'run.js');

/**
 * Stores objects in the layout that Argo uses for unarchived artifacts (`archive: none`): a file is one object, and a
 * folder is one object per file.
 */
function bucketStore(bucket: Bucket): ArtifactStore {
  return {
    async put(path, key) {
      const folder = (await stat(path)).isDirectory();
      const files = folder ? await readdir(path, { recursive: true, withFileTypes: true }) : [];
      const all = files.filter((each) => each.isFile()).map((each) => join(each.parentPath, each.name));
      for (const file of folder ? all : [path]) {
        const name = folder ? `${key}/${relative(path, file)}` : key;
        await bucket.put(name, await readFile(file), 'application/octet-stream', { once: false });
      }
    },
    async get(key, path) {
      let found = false;
      for await (const page of bucket.list(key)) {
        for (const { key: name } of page) {
          if (name !== key && !name.startsWith(`${key}/`)) continue;
          const to = join(path, name.slice(key.length));
          await mkdir(join(to, '..'), { recursive: true });
          await writeFile(to, (await bucket.get(name)).body);
          found = true;
        }
      }
      return found;
    },
  };
}

describeReal('kafka', 'the pipeline of templates/motor-watch', () => {
  describeReal('postgres', 'on PostgreSQL', () => {
    describeReal('versitygw', 'and S3', () => {
      let kafka: KafkaBroker;
      let postgres: Postgres;
      let s3: S3Server;
      let own: UpForTests;
      let client: RegistryClient;
      let fleet: FakeFleet;
      let argo: ArgoServer;
      let bucket: Bucket;
      let dir: string;

      beforeAll(async () => {
        [kafka, postgres, s3] = await Promise.all([startKafka(), startPostgres(), startVersitygw()]);
        vi.stubEnv('AWS_ACCESS_KEY_ID', s3.accessKey);
        vi.stubEnv('AWS_SECRET_ACCESS_KEY', s3.secretKey);
        for (const name of ['blobs', 'artifacts']) await s3.makeBucket(name);
        const at = (name: string) => `s3://${name}?endpoint=${s3.url}`;
        const engines = {
          ...{ database: await postgres.database(), blobs: at('blobs') },
          events: `kafka://${kafka.address}`,
        };
        own = await upForTests({ engines, newToken: true });
        client = await clientFor();
        dir = await mkdtemp(join(tmpdir(), 'aiot-cluster-'));
        await initProject({ dir: join(dir, 'project'), template: 'motor-watch', name: 'motor-watch' });
        await rm(join(dir, 'project', 'data'), { recursive: true });
        await makeSmall(join(dir, 'project', 'aiot.yaml'));
        await record();
        const site = { client, mqtts: own.mqtts, folder: own.folder };
        fleet = await fakeFleet(site, ['m1', 'm2'], () => 'commits');
        bucket = await openBucket(at('artifacts'));
        argo = await startArgo({
          ...{ dir: join(dir, 'pods'), store: bucketStore(bucket) },
          context: process.env.AIOT_CONFIG_DIR ?? '',
          program,
        });
      }, 120_000);
      afterAll(async () => {
        await argo?.stop();
        await bucket?.close();
        await fleet?.stop();
        await client?.close();
        await own?.stop();
        vi.unstubAllEnvs();
        await Promise.all([kafka?.stop(), postgres?.stop(), s3?.stop()]);
        if (dir) await rm(dir, { recursive: true, force: true });
      }, 60_000);

      /** Sets fewer epochs and no limits, because the quality of the model does not matter here. */
      async function makeSmall(file: string) {
        const text = await readFile(file, 'utf8');
        await writeFile(file, text.replace('epochs: 40', 'epochs: 4').replace(/\n {2}accept: .*/, ''));
      }

      /** Records telemetry as published by devices, and the labels added by an operator. */
      async function record() {
        const { token } = Object.values((await readContexts()).contexts)[0] ?? {};
        const ca = await readFile(own.ca);
        const mqtt = await connect(own.mqtts, { username: 'operator', password: token ?? '', ca });
        for (const state of states) {
          for (const seed of [1, 2, 3]) {
            const { columns } = simulateMotor({ state, seconds: 8, rateHz: rate, seed });
            const recording = `${state}${seed}`;
            for (let seq = 0; seq < 8; seq++) {
              const part = (index: number) =>
                [...(columns[index]?.slice(seq * rate, (seq + 1) * rate) ?? [])].map(
                  (value) => Number(value.toFixed(4)) + 0,
                );
              const [current, temperature, vibration, sound] = [0, 1, 2, 3].map(part);
              const fields = { current, temperature, vibration, sound };
              const message = { seq, t: 1_700_000_000_000 + seq * 1000, rate, recording, ...fields };
              await mqtt.publishAsync(`aiot/v1/rig/telemetry/${stream}`, JSON.stringify(message), { qos: 1 });
            }
            await client.labels.post({ stream, device: 'rig', recording, label: state });
          }
        }
        await mqtt.endAsync();
      }

      const told = ({ steps }: Pick<RunResult, 'steps'>) =>
        steps.map(({ name, state }) => `${name} ${state}`);
      const artifact = async (workflow: string, name: string) =>
        (await bucket.get(`${workflow}/${name}`)).body;

      it('produces the same model in cluster pods as in one process, and rolls out each', async () => {
        const project = join(dir, 'project');
        const here = await runPipeline({ dir: project, self: [process.execPath, program] });
        expect(told(here)).toEqual([
          ...['extract done', 'drift skipped', 'train done', 'quantize done', 'evaluate done', 'push done'],
          'rollout done',
        ]);
        expect(here.model).toMatchObject({ name: 'motor-watch', version: 1 });
        expect(fleet.took(1).sort()).toEqual(['m1', 'm2']);

        const cluster = ['--engine', 'argo', '--argo-server', argo.url, '--apply'];
        const there = await ok(runResultSchema, ['pipeline', 'run', '--project', project, ...cluster]);
        expect(told(there)).toEqual(told(here));
        expect(there.model).toMatchObject({ name: 'motor-watch', version: 2 });
        const [, rollout] = (await client.rollouts.list()).sort((a, b) => (a.id < b.id ? -1 : 1));
        // In the cluster, the last step starts the rollout without waiting for its end.
        expect((await rolloutEnd(client, rollout?.id ?? '')).state).toBe('done');
        expect(fleet.took(2).sort()).toEqual(['m1', 'm2']);

        // The contents of both versions are byte-identical, and each version names the run that produced it.
        const workflow = there.workflow?.name ?? '';
        const int8 = await readFile(join(project, 'build', 'model.int8.tflite'));
        expect(digestOf(await artifact(workflow, 'quantize/network'))).toBe(digestOf(int8));
        const figures = async (bytes: Buffer) => {
          const { float, int8: quantized } = JSON.parse(bytes.toString('utf8'));
          return { float, quantized };
        };
        expect(await figures(await artifact(workflow, 'evaluate/evaluation'))).toEqual(
          await figures(await readFile(join(project, 'build', 'evaluation.json'))),
        );
        const extracted = JSON.parse((await artifact(workflow, 'extract/result')).toString('utf8'));
        expect(extracted).toMatchObject({
          source: 'platform',
          recordings: 15,
          rows: 15 * 8 * rate,
          unlabelled: 0,
        });
        const versions = await client.models.versions('motor-watch');
        expect(versions.map(({ version }) => version).sort()).toEqual([1, 2]);

        // Kafka has received all events.
        const types = () =>
          kcat(kafka.address, 'aiot.events', '%s\n')
            .split('\n')
            .filter(Boolean)
            .map((line) => (JSON.parse(line) as { type: string }).type);
        await expect
          .poll(() => types().filter((type) => type === 'model.push').length, { timeout: 15_000 })
          .toBe(2);
        const telemetry = () => kcat(kafka.address, 'aiot.telemetry', '%k\n').split('\n').filter(Boolean);
        await expect.poll(() => telemetry().length, { timeout: 15_000 }).toBe(15 * 8);
      }, 240_000);
    });
  });
});
