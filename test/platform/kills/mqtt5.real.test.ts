import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { seededRandom } from '../../../src/lib/core/numbers.js';
import { killUnder, type Load, startVictim, type Victim } from './harness.js';
import { expiryLoad, session5Load, sessionExpiryLoad, sharedLoad } from './mqtt5-loads.js';

/** The number of kills; AIOT_LONG=1 runs hundreds. */
const rounds = process.env.AIOT_LONG ? 500 : 5;

let victim: Victim;
beforeAll(async () => {
  victim = await startVictim();
}, 60_000);
afterAll(() => victim?.stop());

describe('a platform killed at any moment under MQTT 5 load', () => {
  it('keeps acknowledged messages with their properties, expiry and shared subscriptions, and sessions until they expire', {
    timeout: rounds * 30_000,
  }, async () => {
    const random = seededRandom(Number(process.env.AIOT_SEED ?? 1));
    const moments = Array.from({ length: rounds }, () => ({ waitMs: 200 + Math.floor(random() * 900) }));
    const [expiry, sessionExpiry] = [expiryLoad(), sessionExpiryLoad()];
    const sessions: Load[] = [session5Load(1), session5Load(2), sharedLoad(1), sharedLoad(2)];
    const loads = [...sessions, expiry, sessionExpiry];
    await killUnder(victim, loads, moments);
    for (const { name, acknowledged } of loads) expect(acknowledged(), name).toBeGreaterThan(0);
    expect(expiry.expired(), 'expired messages').toBeGreaterThan(0);
    expect(sessionExpiry.ended(), 'expired sessions').toBeGreaterThan(0);
  });
});
