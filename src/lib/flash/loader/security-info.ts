import { type Exchange, op, quick, Refusal } from './exchange.js';
import type { SecurityInfo } from './types.js';

/** The ROM's report of its security; null for a chip that does not support the request. */
export async function readSecurity(exchange: Exchange): Promise<SecurityInfo | null> {
  try {
    const { data } = await exchange.ask({ op: op.securityInfo, expect: [20, 12], ...quick });
    const view = new DataView(data.buffer, data.byteOffset, data.length);
    return {
      flags: view.getUint32(0, true),
      cryptCount: view.getUint8(4),
      keyPurposes: [...data.subarray(5, 12)],
      chipId: data.length < 20 ? null : view.getUint32(12, true),
    };
  } catch (error) {
    if (error instanceof Refusal) return null;
    throw error;
  }
}
