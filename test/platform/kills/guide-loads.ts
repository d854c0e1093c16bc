import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { digestOf } from '../../../src/lib/core/crypto.js';
import { openStore } from '../../../src/lib/platform/store/database.js';
import { ask, formOf } from '../../support/guide.js';
import { connect } from '../../support/mqtt.js';
import type { Load, Operated } from './harness.js';
import { publishUntilGone } from './mqtt-loads.js';
import { isBroken } from './piece-loads.js';

function guideOf({ guide }: Operated) {
  if (!guide) throw new Error('this platform has no services of the guide');
  return guide;
}

/** Repeats `act`, without credentials, until the platform is gone. */
async function untilBroken(signal: AbortSignal, act: () => Promise<void>): Promise<void> {
  try {
    while (!signal.aborted) await act();
  } catch (error) {
    if (!signal.aborted && !isBroken(error)) throw error;
  }
}

/** Uploads files like the guide's steps. Each acknowledged file must be listed and intact, and each model must be exactly one version. */
export function guideUploadLoad(): Load {
  const owed = new Map<string, Buffer>();
  const versions = new Set<string>();
  let sent = 0;
  let count = 0;
  return {
    name: 'files of the guide',
    run: (victim, signal) =>
      untilBroken(signal, async () => {
        const number = ++sent;
        const [path, folder, name] =
          number % 2 === 0
            ? ['/uploadModel', '/full/', `2022-05-06-20:36:11-${number}-model.zip`]
            : ['/upload', '/', `raw_${number}.csv`];
        const content = randomBytes(1 + Math.floor(Math.random() * 200_000));
        const service = folder === '/' ? guideOf(victim).datasets : guideOf(victim).models;
        const form = { method: 'POST', ...formOf(name, content), ca: victim.ca };
        const { status } = await ask(service, path, form);
        if (status !== 200) throw new Error(`${path}: ${status}`);
        owed.set(`${folder}${name}`, content);
        if (folder === '/full/') versions.add(digestOf(content));
        count++;
      }),
    async verify(victim) {
      const { models, datasets } = guideOf(victim);
      for (const [path, content] of owed) {
        const service = path.startsWith('/full/') ? models : datasets;
        const { status, body } = await ask(service, path, { ca: victim.ca });
        if (status !== 200 || !body.equals(content))
          throw new Error(`${path} was acknowledged and is ${status}, ${body.length} bytes`);
      }
      owed.clear();
      if (versions.size === 0) return;
      const told: string[] = [];
      for (const { name } of await victim.client.models.list())
        for (const { origin } of await victim.client.models.versions(name)) told.push(origin?.digest ?? '');
      for (const digest of versions)
        if (told.filter((one) => one === digest).length !== 1)
          throw new Error(`the upload ${digest} is not one version`);
    },
    acknowledged: () => count,
  };
}

/** Registers devices like the guide's firmware. Each acknowledged device must be known. */
export function guideDeviceLoad(): Load {
  const owed = new Set<number>();
  let sent = 0;
  let count = 0;
  return {
    name: 'devices of the guide',
    run: (victim, signal) =>
      untilBroken(signal, async () => {
        const id = ++sent;
        const { status } = await ask(guideOf(victim).devices, '/provisionDevice', {
          ...{ method: 'POST', body: `device_id=${id}`, ca: victim.ca },
          headers: { 'content-type': 'application/x-www-form-urlencoded' },
        });
        if (status !== 200) throw new Error(`/provisionDevice: ${status}`);
        owed.add(id);
        count++;
      }),
    async verify(victim) {
      const { text } = await ask(guideOf(victim).devices, '/device_registry.dat', { ca: victim.ca });
      const known = new Set(text.split('\n').map(Number));
      const lost = [...owed].filter((id) => !known.has(id));
      if (lost.length > 0) throw new Error(`provisioned, and gone: ${lost.join(', ')}`);
      owed.clear();
    },
    acknowledged: () => count,
  };
}

/**
 * Publishes readings with QoS 1. Each acknowledged reading must be in a file or wait for one, and none may be in two files. @param told a
 * function that is called for each acknowledged reading
 */
export function guideDataLoad(told: (value: number) => void = () => {}): Load {
  const owed = new Set<number>();
  let sent = 0;
  let count = 0;
  return {
    name: 'readings of the guide',
    async run(victim, signal) {
      const client = await connect(guideOf(victim).mqtt, { clientId: 'kills' }).catch(() => null);
      if (!client) return;
      const next = () => {
        const value = ++sent;
        const fields = `"current": ${value}, "temperature": 20.00, "vibration": 0.50, "sound": 60.00`;
        return {
          topic: 'shaded-pole-motor-sensor_data',
          payload: `{"deviceID": "7", ${fields}}`,
          acknowledged: () => {
            owed.add(value);
            told(value);
            count++;
          },
        };
      };
      await publishUntilGone(client, signal, next, 10);
    },
    async verify(victim) {
      const there = await readingsOf(victim);
      const known = new Set(there);
      const lost = [...owed].filter((value) => !known.has(value));
      if (lost.length > 0) throw new Error(`${lost.length} acknowledged readings of the guide are gone`);
      if (known.size < there.length) throw new Error('a reading of the guide is there twice');
    },
    acknowledged: () => count,
  };
}

/** Returns the currents in all rows, both those in files and those waiting for a file. */
async function readingsOf(victim: Operated): Promise<number[]> {
  const { datasets } = guideOf(victim);
  const { text } = await ask(datasets, '/', { ca: victim.ca });
  const names = [...text.matchAll(/href="([^"]*raw_sensor[^"]*)"/g)].map(([, name]) => name ?? '');
  const rows: string[] = [];
  for (const name of names) {
    const file = await ask(datasets, `/${name.replace('./', '')}`, { ca: victim.ca });
    rows.push(...file.text.trim().split('\n').slice(1));
  }
  const store = await openStore(join(victim.folder, 'data', 'state.db'));
  try {
    const waiting = await store.selectFrom('guideRows').select('line').execute();
    return [...rows, ...waiting.map(({ line }) => line)].map((row) => Number(row.split(',')[2]));
  } finally {
    await store.destroy();
  }
}
