// Duration of an update of 1 MiB over loopback, with the native device and the platform on this machine, and TLS on both connections. The
// whole rollout is timed: the offer, the download, writing to flash, reading back and verifying, the start, the trial and the commit.
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { pushFirmware } from '../../src/lib/api/firmware/push.js';
import type { DeviceEvent } from '../../src/lib/device/events.js';
import { nativeProgram } from '../../src/lib/device/native/build.js';
import { createNativeDevice } from '../../src/lib/device/native/device.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { type TestPlatform, testPlatform } from '../../test/support/platform.js';
import { oneWave, rolloutEnd } from '../../test/support/rollout.js';

const mebibyte = 1024 ** 2;

export interface UpdateTimes {
  /** Duration of the rollout, s. */
  seconds: number;
  /** Time from the first requested byte to the last written one, s. */
  downloadSeconds: number;
}

/** Times a number of updates. Each installs a different 1 MiB image: the native device's program with padding. */
export async function updateTimes(rounds: number): Promise<UpdateTimes[]> {
  const program = await nativeProgram();
  const own = await testPlatform();
  const identityDir = join(own.folder, 'bench-1');
  await mkdir(identityDir);
  await provisionDevice({ client: own.client, name: 'bench-1', type: 'virtual', out: identityDir });
  const states: { state: string; at: number }[] = [];
  const onEvent = (event: DeviceEvent) => {
    if (event.event === 'reported') states.push({ state: event.reported.state, at: performance.now() });
  };
  const device = await createNativeDevice({ identityDir, program, onEvent });
  try {
    await device.connect();
    const all: UpdateTimes[] = [];
    for (let round = 0; round < rounds; round++) {
      states.length = 0;
      all.push(await oneUpdate(own, await padded(program, join(own.folder, 'program'), round), states));
    }
    return all;
  } finally {
    await device.stop();
    await own.stop();
  }
}

/** Pads the program to exactly 1 MiB; loaders read only the parts that its headers describe. */
async function padded(program: string, path: string, round: number): Promise<string> {
  const bytes = await readFile(program);
  await writeFile(path, Buffer.concat([bytes, Buffer.alloc(mebibyte - bytes.length, round + 1)]));
  return path;
}

async function oneUpdate(
  { client, key }: TestPlatform,
  path: string,
  states: { state: string; at: number }[],
): Promise<UpdateTimes> {
  const pushed = await pushFirmware({
    ...{ client, path, name: 'bench', deviceTypes: ['virtual'], privatePem: key },
  });
  const { name, version, sequence } = pushed;
  const started = performance.now();
  const release = { kind: 'firmware' as const, name, version, sequence, selector: 'name=bench-1' };
  const { id } = await client.rollouts.start(oneWave(release));
  const [device] = (await rolloutEnd(client, id)).devices;
  const seconds = (performance.now() - started) / 1000;
  if (device?.state !== 'committed')
    throw new Error(`the update ended ${device?.state}: ${device?.error?.code}`);
  const at = (wanted: string) => states.find(({ state }) => state === wanted)?.at ?? Number.NaN;
  return { seconds, downloadSeconds: (at('VERIFYING') - at('DOWNLOADING')) / 1000 };
}
