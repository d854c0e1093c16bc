import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { createClient, type RegistryClient } from '../../../src/lib/api/client.js';
import { digestOf } from '../../../src/lib/core/crypto.js';
import type { AiotError } from '../../../src/lib/core/errors.js';
import { packBundle, unpackBundle } from '../../../src/lib/model/bundle/pack.js';
import { fetchModel } from '../../../src/lib/model/publish/pull.js';
import { release } from '../../../src/lib/model/publish/push.js';
import { tinyBundle } from '../../support/bundle.js';
import { record } from '../../support/recording.js';
import type { Load, Operated } from './harness.js';

const gone = new Set(['AIOT_PLATFORM_UNREACHABLE']);

/** Repeats `act` with a separate client until it fails or `signal` is aborted. */
export async function untilGone(
  { http, ca, token }: Operated,
  signal: AbortSignal,
  act: (client: RegistryClient) => Promise<void>,
): Promise<void> {
  const client = createClient({ url: http, ca, token });
  try {
    while (!signal.aborted) await act(client);
  } catch (error) {
    // The platform was killed during an operation that it had not acknowledged.
    if (!signal.aborted && !gone.has((error as AiotError).code)) throw error;
  } finally {
    await client.close();
  }
}

/** Uploads random blobs. Each acknowledged blob must exist and be intact. */
export function blobLoad(): Load {
  const stored = new Set<string>();
  let count = 0;
  return {
    name: 'blobs',
    run: (victim, signal) =>
      untilGone(victim, signal, async (client) => {
        const content = randomBytes(1 + Math.floor(Math.random() * 300_000));
        const digest = digestOf(content);
        await client.blobs.put(digest, content);
        stored.add(digest);
        count++;
      }),
    async verify({ client, folder }) {
      for (const digest of stored) {
        // This verifies the digest.
        await (await client.blobs.get(digest)).bytes();
      }
      // The folder that blobs are read from must not contain partial blobs.
      const whole = join(folder, 'data', 'blobs', 'sha256');
      // A platform that was killed before the first blob has no such folder.
      const files = existsSync(whole) ? await readdir(whole, { recursive: true, withFileTypes: true }) : [];
      for (const file of files) {
        if (file.isFile() && !/^[0-9a-f]{64}$/.test(file.name))
          throw new Error(`${file.name} lies in blobs/`);
      }
      stored.clear();
    },
    acknowledged: () => count,
  };
}

/**
 * Pushes and promotes versions. Each acknowledged version must exist, pass verification and be in its stage, and no number may be
 * assigned twice.
 */
export function modelLoad(): Load {
  const pushed = new Set<number>();
  const staged = new Set<number>();
  let seed = 1;
  const bundle = unpackBundle(tinyBundle());
  return {
    name: 'models',
    run: (victim, signal) =>
      untilGone(victim, signal, async (client) => {
        bundle.info.arenaBytes = seed++;
        const signed = {
          ...{ name: 'tiny', expires: null, deviceTypes: ['virtual'] },
          issued: Date.now(),
        };
        const { version } = await release(client, packBundle(bundle), signed, victim.key);
        if (pushed.has(version)) throw new Error(`the version ${version} was given twice`);
        pushed.add(version);
        await client.models.promote('tiny', version, { to: 'staging', reason: 'a test' });
        staged.add(version);
      }),
    async verify({ client }) {
      if (pushed.size === 0) return;
      const versions = await client.models.versions('tiny');
      const byNumber = new Map(versions.map((card) => [card.version, card]));
      for (const version of pushed) {
        if (!byNumber.has(version)) throw new Error(`tiny@${version} was acknowledged and is gone`);
      }
      for (const version of staged) {
        const { stage } = byNumber.get(version) ?? { stage: 'gone' };
        if (stage !== 'staging') throw new Error(`tiny@${version} was in staging and is ${stage}`);
      }
      // No record may lack its blob, not even one whose push was never acknowledged.
      for (const { name, version } of versions.slice(0, 20))
        await fetchModel(client, { name, version }, null);
    },
    acknowledged: () => pushed.size + staged.size,
  };
}

/** Sets labels. The current one must be the last acknowledged label, or the one that was being sent. */
export function labelLoad(): Load {
  let sent = 0;
  let last = 0;
  return {
    name: 'labels',
    prepare: (victim) => record(victim, { stream: 'killed', device: 'kill-0', recording: 'labelled' }),
    run: (victim, signal) =>
      untilGone(victim, signal, async (client) => {
        const value = ++sent;
        const place = { stream: 'killed', device: 'kill-0', recording: 'labelled' };
        await client.labels.post({ ...place, label: `l${value}` });
        last = value;
      }),
    async verify({ client }) {
      if (last === 0) return;
      const { recordings } = await client.datasets.get('killed');
      const label =
        recordings.find(({ device, id }) => device === 'kill-0' && id === 'labelled')?.label ?? 'l0';
      if (Number(label.slice(1)) < last)
        throw new Error(`the label l${last} was acknowledged, ${label} is there`);
    },
    acknowledged: () => last,
  };
}

/** Changes tokens and the tags of devices. Acknowledged changes must be present, and revoked tokens must stay invalid. */
export function stateLoad(): Load {
  let sent = 0;
  let last = 0;
  let count = 0;
  const revoked: string[] = [];
  return {
    name: 'states',
    run: (victim, signal) =>
      untilGone(victim, signal, async (client) => {
        const value = ++sent;
        await client.devices.change(['kill-0'], { action: 'tag', set: { n: String(value) }, remove: [] });
        last = value;
        count++;
        const { token, id } = await client.tokens.create({ name: `n${value}`, role: 'viewer' });
        await client.tokens.revoke(id);
        revoked.push(token);
      }),
    async verify({ http, ca, client }) {
      const { tags } = await client.devices.get('kill-0');
      if (Number(tags.n ?? 0) < last) throw new Error(`the tag ${last} was acknowledged, ${tags.n} is there`);
      for (const token of revoked.splice(0)) {
        const other = createClient({ url: http, ca, token });
        const refused = await other.devices.list().then(
          () => false,
          () => true,
        );
        await other.close();
        if (!refused) throw new Error('a token that was revoked is good again');
      }
    },
    acknowledged: () => count,
  };
}

/** Reads the events across all kills. It must receive each event once, in order, including those for all acknowledged changes. */
export function eventLoad(changes: () => number): Load {
  let last = 0;
  let tags = 0;
  return {
    name: 'events',
    async run(victim, signal) {
      const { http, ca, token } = victim;
      const client = createClient({ url: http, ca, token });
      try {
        for await (const { id, type } of client.events.follow({ from: last, retries: 0, signal })) {
          if (id <= last) throw new Error(`the event ${id} came behind ${last}`);
          last = id;
          if (type === 'device.tag') tags++;
        }
      } catch (error) {
        if (!signal.aborted && !gone.has((error as AiotError).code)) throw error;
      } finally {
        await client.close();
      }
    },
    async verify({ client }) {
      for (;;) {
        const { events } = await client.events.page({ from: last, limit: 1000 });
        if (events.length === 0) break;
        for (const { id, type } of events) {
          last = id;
          if (type === 'device.tag') tags++;
        }
      }
      if (tags < changes())
        throw new Error(`${changes()} tags were acknowledged, ${tags} are among the events`);
    },
    acknowledged: () => last,
  };
}
