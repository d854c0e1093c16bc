import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { seededRandom } from '../../../src/lib/core/numbers.js';
import { guideDataLoad, guideDeviceLoad, guideUploadLoad } from './guide-loads.js';
import { killUnder, startVictim, type Victim } from './harness.js';
import { backupLoad, jobLoad, pieceLoad, recordLoad } from './piece-loads.js';

/** The number of kills; AIOT_LONG=1 runs many more. */
const rounds = process.env.AIOT_LONG ? 150 : 2;

let victim: Victim;
beforeAll(async () => {
  victim = await startVictim({ compat: ['architects-guide'], compatMaxRows: 20 });
}, 60_000);
afterAll(() => victim?.stop());

describe('a platform with the guide’s services, killed during uploads in pieces, jobs and backups', () => {
  it('keeps all acknowledged data intact and without duplicates after each restart', {
    timeout: 60_000 + rounds * 30_000,
  }, async () => {
    const random = seededRandom(Number(process.env.AIOT_SEED ?? 2));
    const moments = Array.from({ length: rounds }, () => ({ waitMs: 700 + Math.floor(random() * 1500) }));
    const loads = [
      ...[pieceLoad(3), jobLoad(), backupLoad()],
      ...[guideUploadLoad(), guideDeviceLoad(), guideDataLoad(), recordLoad()],
    ];
    await killUnder(victim, loads, moments);
    for (const { name, acknowledged } of loads) expect(acknowledged(), name).toBeGreaterThan(0);
  });
});
