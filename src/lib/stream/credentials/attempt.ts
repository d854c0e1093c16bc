import { openAdmin } from '../open.js';
import type { StreamCredentials } from '../options.js';

/** Longest wait for a broker that does not answer, ms. */
const connectTimeoutMs = 10_000;

/**
 * Whether a far side lets us in with these credentials. It must let us ask about itself; one that cannot be asked is not known
 * to have looked at them. @throws AIOT_BROKER_REFUSED, AIOT_BROKER_UNREACHABLE, AIOT_STREAM_SCHEME
 */
export async function tryCredentials(url: string, credentials: StreamCredentials): Promise<void> {
  const admin = await openAdmin(url, { ...credentials, connectTimeoutMs });
  await admin.close();
}
