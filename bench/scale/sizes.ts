// Size of each message on the wire, computed by our own code for MQTT 3.1.1 at QoS 1. Proofs are made with real keys, and the
// envelope is signed.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { digestOf, generateKeyPair } from '../../src/lib/core/crypto.js';
import { newId } from '../../src/lib/core/names.js';
import { encodeMessage, topicOf } from '../../src/lib/device/protocol/codec.js';
import type { Reported } from '../../src/lib/device/protocol/messages.js';
import { withProof } from '../../src/lib/device/protocol/proof.js';
import { signManifest } from '../../src/lib/formats/manifest/manifest.js';
import { manifestOf } from '../../src/lib/model/publish/push.js';
import { openAuthority } from '../../src/lib/provision/authority.js';
import { certificateRequest } from '../../src/lib/provision/certificates.js';
import { tinyBundle } from '../../test/support/bundle.js';

/** Size of a PUBACK: a header of two bytes, and the packet identifier. */
export const ackBytes = 4;
const connackBytes = 4;
/** Size of a SUBACK for two topics. */
const subackBytes = 6;

/** A PUBLISH at QoS 1, bytes. */
export function publishBytes(topic: string, payload: number): number {
  const rest = 2 + topic.length + 2 + payload;
  return 1 + lengthBytes(rest) + rest;
}

/** Bytes that a connecting device sends (CONNECT with a will, SUBSCRIBE to two topics, presence) and receives. */
export function connectBytes(device: string): { up: number; down: number } {
  const [presence, command, desired] = (['presence', 'command', 'desired'] as const).map((channel) =>
    topicOf(device, channel),
  ) as [string, string, string];
  const said = encodeMessage({ online: true, t: 1_760_000_000_000 }).length;
  const will = encodeMessage({ online: false, t: 1_760_000_000_000 }).length;
  const connect = 10 + 2 + device.length + 2 + presence.length + 2 + will;
  const subscribe = 2 + 2 + command.length + 1 + 2 + desired.length + 1;
  const own = [connect, subscribe].map((rest) => 1 + lengthBytes(rest) + rest);
  return {
    up: own.reduce((sum, bytes) => sum + bytes, 0) + publishBytes(presence, said),
    down: connackBytes + subackBytes + ackBytes,
  };
}

/** Number of bytes in the remaining-length field of a packet (MQTT 3.1.1, 2.2.3). */
function lengthBytes(rest: number): number {
  return rest < 128 ? 1 : rest < 16_384 ? 2 : 3;
}

/** Number of bytes that a device's signature adds to its commit report. */
export async function proofBytes(device: string): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'aiot-bench-'));
  try {
    const { privatePem } = generateKeyPair();
    const csr = await certificateRequest(privatePem, device);
    const authority = await openAuthority(folder, Date.now);
    const { certificate } = await authority.device({ csr, name: device, id: newId('dev', Date.now()) });
    const running = { name: 'tiny', version: 2, sequence: 7, digest: digestOf('') };
    const reported: Reported = {
      ...{ t: Date.now(), type: 'esp32', state: 'COMMITTED', rollout: newId('ro', Date.now()) },
      ...{ model: running, floor: 0, download: null, golden: { vectors: 3, passed: 3 }, error: null },
    };
    const signed = withProof(reported, { name: device, key: privatePem, certificate }, 0);
    return encodeMessage(signed).length - encodeMessage(reported).length;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Size of the envelope that contains the signed manifest of the smallest model, bytes. */
export function envelopeBytes(): number {
  const manifest = manifestOf(tinyBundle(), {
    ...{ name: 'tiny', version: 2, sequence: 7, issued: 1_760_000_000_000, expires: null },
    deviceTypes: ['esp32'],
  });
  return encodeMessage(signManifest(manifest, generateKeyPair().privatePem)).length;
}
