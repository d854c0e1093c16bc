import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { digestOf } from '../src/lib/core/crypto.js';
import { hasCode } from '../src/lib/core/errors.js';
import { fetchModel } from '../src/lib/model/publish/pull.js';
import { provisionDevice } from '../src/lib/provision/provision.js';
import { untilGone } from '../test/platform/kills/api-loads.js';
import type { Load, Operated } from '../test/platform/kills/harness.js';
import { tinyBundle } from '../test/support/bundle.js';
import { connectDevice } from '../test/support/mqtt.js';
import type { ChaosPlatform } from './platform.js';
import { Program } from './process.js';
import type { Round } from './types.js';

/** Time limit for a repeated push to succeed, ms. */
const pushedMs = 60_000;
const model = 'pushed';

interface Push {
  version: number;
  digest: string;
}

/**
 * Runs `aiot model push` with one bundle after another. Each push is repeated until it succeeds, because the pushing process may be
 * killed too.
 */
export interface Pusher {
  program: Program;
  /** Acknowledged versions. */
  pushed: readonly Push[];
  run(signal: AbortSignal): Promise<void>;
  /** Throws if an acknowledged version is missing, or if a version is incomplete. */
  verify(): Promise<void>;
}

export function modelPusher(round: Round, own: ChaosPlatform): Pusher {
  const { report, folder, mark } = round;
  const file = join(folder, 'push.aiot');
  const program = new Program({
    name: 'the pusher',
    args: ['model', 'push', file, '--json'],
    env: { ...own.env, AIOT_CHAOS: mark },
    // 130: it was stopped in the middle of a push.
    stopped: [0, 1, 130],
    again: 'until done',
    report,
  });
  const pushed: Push[] = [];
  /** Bundle digest → number of processes that have tried to push it. */
  const tries = new Map<string, number>();
  return {
    program,
    pushed,
    async run(signal) {
      for (let seed = 1; !signal.aborted; seed++) {
        const bundle = tinyBundle(model, seed);
        await writeFile(file, bundle);
        const { starts } = program;
        program.start();
        await Promise.race([program.finished(), delay(pushedMs, undefined, { ref: false })]);
        tries.set(digestOf(bundle), program.starts - starts);
        if (!program.done) {
          report('everything recovers', `a push did not succeed within ${pushedMs} ms`);
          return;
        }
        const { version, digest } = JSON.parse(await program.said(1000)) as Push;
        pushed.push({ version, digest });
      }
    },
    async verify() {
      const { client } = own;
      if (pushed.length === 0) return;
      const versions = await client.models.versions(model).catch((error) => {
        if (hasCode(error, 'AIOT_NOT_FOUND')) return [];
        throw error;
      });
      const there = new Map(versions.map((card) => [card.version, card.digest]));
      for (const { version, digest } of pushed)
        if (there.get(version) !== digest)
          throw new Error(`${model}@${version} was acknowledged as ${digest}, but is ${there.get(version)}`);
      if (new Set(versions.map(({ sequence }) => sequence)).size < versions.length)
        throw new Error(`two versions of ${model} have the same sequence`);
      for (const { version } of versions) await fetchModel(client, { name: model, version }, null);
      for (const [digest, most] of tries) {
        const copies = versions.filter((card) => card.digest === digest).length;
        if (copies < 1 || copies > most)
          throw new Error(`${digest} was pushed ${most} times, but there are ${copies} versions of it`);
      }
    },
  };
}

/** Uploads blobs in chunks with the registry's own client, which resumes automatically after the platform has been killed. */
export function largeUploadLoad(most: number): Load {
  const stored = new Set<string>();
  let count = 0;
  return {
    name: 'large uploads',
    run: (victim, signal) =>
      untilGone(victim, signal, async (client) => {
        if (stored.size >= most) return void (await delay(100));
        const content = randomBytes(9 * 1024 ** 2);
        const digest = digestOf(content);
        await client.blobs.put(digest, content);
        stored.add(digest);
        count++;
      }),
    async verify({ client }) {
      // Verifies the digest.
      for (const digest of stored) await (await client.blobs.get(digest)).bytes();
    },
    acknowledged: () => count,
  };
}

/** Labels all recordings of a dataset in one push. Each push is stored completely or not at all, and the last one applies. */
export function datasetPushLoad(recordings: number): Load {
  const [stream, device] = ['pushes', 'push-0'];
  const names = Array.from({ length: recordings }, (_, i) => `r${i}`);
  let sent = 0;
  let last = 0;
  return {
    name: 'pushes of labels',
    async prepare({ client, folder, mqtts }: Operated) {
      const out = join(folder, device);
      await provisionDevice({ client, name: device, type: 'virtual', out });
      const mqtt = await connectDevice(mqtts, out);
      for (const [seq, recording] of names.entries()) {
        const sample = { seq, t: seq, rate: 10, recording, x: seq };
        const topic = `aiot/v1/${device}/telemetry/${stream}`;
        await mqtt.publishAsync(topic, JSON.stringify(sample), { qos: 1 });
      }
      await mqtt.endAsync();
    },
    run: (victim, signal) =>
      untilGone(victim, signal, async (client) => {
        const value = ++sent;
        const labels = names.map((recording) => ({ device, recording, label: `p${value}` }));
        await client.datasets.label(stream, { labels });
        last = value;
        await delay(20);
      }),
    async verify({ client }) {
      if (last === 0) return;
      const { recordings: there } = await client.datasets.get(stream);
      isWhole(
        there.map(({ label }) => label),
        { recordings, last },
      );
    },
    acknowledged: () => last,
  };
}

/** @throws unless all recordings have the label of the same push: the last acknowledged one or a later one */
export function isWhole(
  labels: readonly (string | null)[],
  { recordings, last }: { recordings: number; last: number },
): void {
  if (labels.length < recordings) throw new Error(`only ${labels.length} of ${recordings} recordings exist`);
  const [label, ...others] = new Set(labels);
  if (others.length > 0) throw new Error(`a push was stored only partly: ${[label, ...others].join(', ')}`);
  if (Number(label?.slice(1) ?? 0) < last)
    throw new Error(`the push p${last} was acknowledged, but the label is ${label}`);
}
