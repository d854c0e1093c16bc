import { createHash } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { AiotError, hasCode } from '../core/errors.js';
import type { Transport } from './transport.js';

/** What is larger goes up in pieces, bytes: a connection that breaks costs one piece. */
export const pieceBytes = 8 * 1024 ** 2;
/** Tries without a byte of progress, the wait before each twice as long: a minute in all. */
const attempts = 7;
const firstWaitMs = 500;

const tus = { 'tus-resumable': '1.0.0' };

/**
 * Uploads by the tus protocol 1.0.0: after a broken connection it asks how far the platform has it, and goes on from there.
 * @throws AIOT_DIGEST_MISMATCH, AIOT_DISK_FULL, AIOT_PLATFORM_UNREACHABLE when a minute did not help
 */
export async function uploadInPieces(transport: Transport, digest: string, bytes: Uint8Array): Promise<void> {
  let path: string | null = null;
  let offset = 0;
  for (let failures = 0; path === null || offset < bytes.length; ) {
    try {
      if (path === null) {
        path = await begin(transport, digest, bytes.length);
        offset = 0;
      } else if (failures > 0) {
        offset = await progress(transport, path);
      }
      while (offset < bytes.length) {
        offset = await send(transport, path, offset, bytes.subarray(offset, offset + pieceBytes));
        failures = 0;
      }
    } catch (error) {
      if (!mayPass(error) || ++failures === attempts) throw error;
      // A platform that has forgotten the upload gets it anew.
      if (hasCode(error, 'AIOT_NOT_FOUND')) path = null;
      await delay(firstWaitMs * 2 ** (failures - 1));
    }
  }
}

async function begin(transport: Transport, digest: string, length: number): Promise<string> {
  const answer = await transport.call('POST', '/uploads', {
    headers: {
      ...tus,
      'upload-length': String(length),
      'upload-metadata': `digest ${Buffer.from(digest).toString('base64')}`,
    },
  });
  await answer.body.dump();
  const id =
    String(answer.headers.location ?? '')
      .split('/')
      .at(-1) ?? '';
  return `/uploads/${encodeURIComponent(id)}`;
}

async function progress(transport: Transport, path: string): Promise<number> {
  const answer = await transport.call('HEAD', path, { headers: tus });
  await answer.body.dump();
  return Number(answer.headers['upload-offset']);
}

async function send(transport: Transport, path: string, offset: number, piece: Uint8Array): Promise<number> {
  const answer = await transport.call('PATCH', path, {
    body: piece,
    headers: {
      ...tus,
      'content-type': 'application/offset+octet-stream',
      'upload-offset': String(offset),
      'upload-checksum': `sha256 ${createHash('sha256').update(piece).digest('base64')}`,
    },
    // The last piece is answered when the whole was read again for its digest.
    headersTimeoutMs: 300_000,
  });
  await answer.body.dump();
  return Number(answer.headers['upload-offset']);
}

/** Broken off, out of step after that, changed on its way, or forgotten. */
function mayPass(error: unknown): boolean {
  if (!(error instanceof AiotError)) return false;
  const codes = ['AIOT_UPLOAD_OFFSET', 'AIOT_CHECKSUM_MISMATCH', 'AIOT_NOT_FOUND'];
  return error.retryable === true || codes.includes(error.code);
}
