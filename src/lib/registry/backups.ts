import { bodyOf } from './errors.js';
import type { Transport } from './transport.js';

export function backupCalls(transport: Transport) {
  return {
    /** The platform's backup as it comes: a tar, whose end tells that it is whole. */
    async create(passphrase: string, signal?: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
      const answer = await transport.call('POST', '/backups', {
        body: JSON.stringify({ passphrase }),
        headers: { 'content-type': 'application/json' },
        // All is set aside before the first byte.
        headersTimeoutMs: 600_000,
        bodyTimeoutMs: 300_000,
        ...(signal ? { signal } : {}),
      });
      return bodyOf(answer, transport.url);
    },
  };
}
