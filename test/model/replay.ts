import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'vitest';
import { digestOf } from '../../src/lib/core/crypto.js';
import type { DeviceEvent } from '../../src/lib/device/events.js';
import { createVirtualDevice } from '../../src/lib/device/virtual/device.js';
import { createFlash } from '../../src/lib/device/virtual/flash.js';
import { flashBytesFor } from '../../src/lib/device/virtual/store.js';
import { defaultSlotBytes } from '../../src/lib/device/virtual/types.js';
import { signManifest } from '../../src/lib/formats/manifest/manifest.js';
import { manifestOf } from '../../src/lib/model/publish/push.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { testPlatform } from '../support/platform.js';
import { oneWave, rolloutEnd } from '../support/rollout.js';

/** Rolls the bundle out to a virtual device, replays a recording there, and returns the device's predictions. */
export async function replayOn(
  file: string,
  name: string,
  heard: { rateHz: number; columns: Float64Array[] },
  slotBytes = defaultSlotBytes,
) {
  const bytes = await readFile(file);
  const own = await testPlatform();
  const out = join(own.folder, 'listener-1');
  await mkdir(out, { recursive: true });
  const { client, key } = own;
  await provisionDevice({ client, name: 'listener-1', type: 'virtual', out });
  const events: DeviceEvent[] = [];
  const device = await createVirtualDevice({
    identityDir: out,
    flash: createFlash({ bytes: flashBytesFor(slotBytes) }),
    onEvent: (event) => events.push(event),
  });
  try {
    await device.connect();
    await client.blobs.put(digestOf(bytes), bytes);
    const { version, sequence } = await client.models.next(name);
    const signed = { name, version, sequence, issued: Date.now(), expires: null };
    const manifest = manifestOf(bytes, { ...signed, deviceTypes: ['virtual'] });
    await client.models.push(name, signManifest(manifest, key));
    const { id } = await client.rollouts.start(oneWave({ name, version, sequence, deadlineMs: 120_000 }));
    const { devices } = await rolloutEnd(client, id);
    expect(devices[0]).toMatchObject({ name: 'listener-1', state: 'committed', error: null });
    const recording = { id: 'live', label: null, device: null, startedAt: null, fields: ['sound'], ...heard };
    const replayed = await device.replay(recording, { stream: 'sound', speed: 'max', predict: true });
    const inferences = events.flatMap((event) => (event.event === 'inference' ? [event.inference] : []));
    const labels = inferences.map(({ label }) => label);
    return { replayed, labels, inferences };
  } finally {
    await device.stop();
    await own.stop();
  }
}
