import { digestOf } from '../../src/lib/core/crypto.js';
import { signManifest } from '../../src/lib/formats/manifest/manifest.js';
import { manifestOf } from '../../src/lib/model/publish/push.js';
import { motionBundle } from './motion-bundle.js';
import type { TestPlatform } from './platform.js';

/** Pushes the motion model of this seed, signed by the operator. Resolves with its version. */
export async function push(
  { client, key }: TestPlatform,
  seed: number,
  deviceTypes = ['virtual'],
): Promise<number> {
  const bundle = motionBundle(seed);
  await client.blobs.put(digestOf(bundle), bundle);
  const { version, sequence } = await client.models.next('motion');
  const signed = { name: 'motion', version, sequence, issued: Date.now(), expires: null, deviceTypes };
  await client.models.push('motion', signManifest(manifestOf(bundle, signed), key));
  return version;
}
