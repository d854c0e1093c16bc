import { execFile } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, expect, it, vi } from 'vitest';
import { parse } from 'yaml';
import { createClient } from '../../src/lib/api/client.js';
import { digestOf } from '../../src/lib/core/crypto.js';
import { renderDeployment } from '../../src/lib/deploy/render.js';
import { saveBackup } from '../../src/lib/platform/backup/restore.js';
import { startPlatform } from '../../src/lib/platform/start.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { root } from '../support/cli.js';
import { testPlatform } from '../support/platform.js';
import { startPostgres } from '../support/postgres.js';
import { describeReal } from '../support/real.js';
import { startVersitygw } from '../support/s3.js';
import { loose } from './systems.js';

const run = promisify(execFile);

describeReal('versitygw', 'the rendered Job that restores a backup', () =>
  describeReal('postgres', 'into PostgreSQL', () => {
    const endings: (() => unknown)[] = [];
    afterEach(async () => {
      for (const end of endings.splice(0).reverse()) await end();
      vi.unstubAllEnvs();
    });

    it('restores devices, blobs and the CA for replicas with empty folders, and changes nothing the second time', async () => {
      const folder = await mkdtemp(join(tmpdir(), 'aiot-restore-job-'));
      endings.push(() => rm(folder, { recursive: true, force: true }));
      const own = await testPlatform();
      endings.push(() => own.stop());
      await provisionDevice({ client: own.client, name: 'dev', type: 'virtual', out: join(folder, 'dev') });
      const blob = Buffer.from('a file of the platform');
      await own.client.blobs.put(digestOf(blob), blob);
      const passphrase = 'of the rendered secret';
      await saveBackup({ client: own.client, file: join(folder, 'saved.tar'), passphrase });
      await own.stop();

      const out = join(folder, 'k3s');
      const values = join(root, 'test/deploy/restoring.yaml');
      await renderDeployment({ target: 'k3s', out, values });
      const { spec } = loose(parse(await readFile(join(out, 'restore/job.yaml'), 'utf8'))).spec.template;
      const volumes = join(folder, 'volumes');
      for (const name of ['backups', 'data', 'tmp']) await mkdir(join(volumes, name), { recursive: true });
      const wanted = String(loose(parse(await readFile(values, 'utf8'))).backup.restore);
      await copyFile(join(folder, 'saved.tar'), join(volumes, 'backups', wanted));

      const postgres = await startPostgres();
      endings.push(() => postgres.stop());
      const s3 = await startVersitygw();
      endings.push(() => s3.stop());
      await s3.makeBucket('aiot');
      const engines = {
        database: await postgres.database(),
        blobs: `s3://aiot?endpoint=${s3.url}&region=us-east-1`,
      };
      const given: Record<string, string> = {
        AIOT_DATABASE: engines.database,
        AIOT_BLOBS: engines.blobs,
        AIOT_PLATFORM_SECRET: 'the secret of the installation',
        AIOT_BACKUP_PASSPHRASE: passphrase,
        AWS_ACCESS_KEY_ID: s3.accessKey,
        AWS_SECRET_ACCESS_KEY: s3.secretKey,
      };
      /** Maps the mounted folders of a container to those of this test. */
      const mounts: Record<string, string> = {
        '/backups': 'backups',
        '/var/lib/aiot': 'data',
        '/tmp': 'tmp',
      };
      const here = (text: string) =>
        text.replace(/^(\/backups|\/var\/lib\/aiot|\/tmp)(?=\/|$)/, (mount) => join(volumes, mounts[mount]!));
      type Container = { args: string[]; env: { name: string; value?: string }[] };
      const start = ({ args, env }: Container) =>
        run(process.execPath, [join(root, 'bin/run.js'), ...args.map(here)], {
          timeout: 120_000,
          env: {
            PATH: process.env.PATH,
            ...Object.fromEntries(env.map(({ name, value = '' }) => [name, given[name] ?? here(value)])),
          },
        });
      const steps = [...spec.initContainers, ...spec.containers] as Container[];
      expect(steps.flatMap(({ env }) => env.map(({ name }) => name))).toEqual(
        expect.arrayContaining(Object.keys(given)),
      );
      for (const step of steps) await start(step);

      vi.stubEnv('AWS_ACCESS_KEY_ID', s3.accessKey);
      vi.stubEnv('AWS_SECRET_ACCESS_KEY', s3.secretKey);
      const replica = await startPlatform({
        ...{ dataDir: join(folder, 'replica'), httpPort: 0, mqttPort: 0, engines },
        secret: given.AIOT_PLATFORM_SECRET,
      });
      endings.push(() => replica.stop());
      const client = createClient({ url: replica.urls.http, ca: own.ca, token: own.token });
      endings.push(() => client.close());
      expect((await client.devices.list()).map(({ name }) => name)).toEqual(['dev']);
      expect((await (await client.blobs.get(digestOf(blob))).bytes()).equals(blob)).toBe(true);

      await rm(join(volumes, 'data'), { recursive: true });
      await mkdir(join(volumes, 'data'));
      await expect(start(steps[0]!)).rejects.toMatchObject({ stderr: expect.stringContaining('empty') });
      expect((await client.devices.list()).map(({ name }) => name)).toEqual(['dev']);
    }, 240_000);

    it('follows daily backups, of which only the newest are kept', async () => {
      const folder = await mkdtemp(join(tmpdir(), 'aiot-prune-'));
      endings.push(() => rm(folder, { recursive: true, force: true }));
      await renderDeployment({
        target: 'k3s',
        out: folder,
        values: join(root, 'test/deploy/restoring.yaml'),
      });
      const text = await readFile(join(folder, 'base/backup.yaml'), 'utf8');
      const cron = loose(parse(text.split('\n---\n')[1]!));
      const [prune] = cron.spec.jobTemplate.spec.template.spec.containers;
      const backups = join(folder, 'backups');
      await mkdir(backups);
      for (let day = 1; day <= 9; day++) {
        const file = join(backups, `backup-${day}.tar`);
        await writeFile(file, '');
        await run('touch', ['-d', `2026-01-0${day}`, file]);
      }
      const parts = ['backup-9.tar.part', 'backup-10.tar.part'].map((name) => join(backups, name));
      for (const part of parts) await writeFile(part, '');
      await run('touch', ['-d', '2020-01-09', parts[0]!]);
      const script = String(prune.args[0]).replaceAll('/backups', backups);
      const env = Object.fromEntries(
        prune.env.map(({ name, value }: { name: string; value: string }) => [name, value]),
      );
      await run(process.execPath, ['-e', script], { env });
      expect((await readdir(backups)).sort()).toEqual(
        // A Job may still write the other unfinished file.
        ['backup-10.tar.part', ...[3, 4, 5, 6, 7, 8, 9].map((day) => `backup-${day}.tar`)],
      );
    });
  }),
);
