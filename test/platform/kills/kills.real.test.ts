import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { seededRandom } from '../../../src/lib/core/numbers.js';
import { blobLoad, eventLoad, labelLoad, modelLoad, stateLoad } from './api-loads.js';
import { killUnder, type Load, startVictim, type Victim } from './harness.js';
import { retainedLoad, sessionLoad, telemetryLoad } from './mqtt-loads.js';
import { alarmLoad, auditLoad, callLoad, crashLoad, schemaLoad } from './operation-loads.js';

/** The number of kills; AIOT_LONG=1 runs hundreds. */
const rounds = process.env.AIOT_LONG ? 300 : 5;

let victim: Victim;
beforeAll(async () => {
  victim = await startVictim();
}, 60_000);
afterAll(() => victim?.stop());

describe('a platform killed at any moment under load', () => {
  it('keeps all acknowledged data intact and without duplicates after each restart', {
    timeout: rounds * 30_000,
  }, async () => {
    const random = seededRandom(Number(process.env.AIOT_SEED ?? 1));
    const moments = Array.from({ length: rounds }, () => ({ waitMs: 200 + Math.floor(random() * 900) }));
    const states = stateLoad();
    const alarms = alarmLoad();
    const loads: Load[] = [
      telemetryLoad(3),
      retainedLoad(),
      sessionLoad(1),
      sessionLoad(2),
      sessionLoad(1, '5'),
      sessionLoad(2, '5'),
      sessionLoad(1, 'shared'),
      sessionLoad(2, 'shared'),
      blobLoad(),
      modelLoad(),
      labelLoad(),
      states,
      eventLoad(states.acknowledged),
      alarms,
      crashLoad(),
      schemaLoad(),
      callLoad(),
      auditLoad('alarm.create', alarms.acknowledged),
    ];
    await killUnder(victim, loads, moments);
    for (const { name, acknowledged } of loads) expect(acknowledged(), name).toBeGreaterThan(0);
  });
});
