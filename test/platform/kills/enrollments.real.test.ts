import { afterAll, beforeAll, expect, it } from 'vitest';
import type { EnrollReply } from '../../../src/lib/api/contract/batches.js';
import { generateKeyPair } from '../../../src/lib/core/crypto.js';
import { seededRandom } from '../../../src/lib/core/numbers.js';
import { certificateRequest } from '../../../src/lib/provision/certificates.js';
import { untilGone } from './api-loads.js';
import { killUnder, type Load, startVictim, type Victim } from './harness.js';

/** The number of kills; AIOT_LONG=1 runs hundreds. */
const rounds = process.env.AIOT_LONG ? 300 : 5;

let victim: Victim;
beforeAll(async () => {
  victim = await startVictim();
}, 60_000);
afterAll(() => victim?.stop());

/** A device of the batch, and the responses that it and its operator have received. */
interface Enrolling {
  serial: string;
  csr: string;
  isApproved: boolean;
  certificate: string | undefined;
}

/**
 * Lets devices ask, approves them and issues their certificates. After a kill, acknowledged devices still wait, approved ones get a
 * certificate, and the others get the certificate that they have.
 */
function enrollmentLoad(): Load {
  let key = '';
  let count = 0;
  let serials = 0;
  const all: Enrolling[] = [];
  const ask = ({ client }: Pick<Victim, 'client'>, { serial, csr }: Enrolling): Promise<EnrollReply> =>
    client.enrollments.enroll({ key, csr, serial });
  return {
    name: 'enrollments',
    prepare: async ({ client }) => {
      ({ key } = await client.batches.create({ name: 'killed', type: 'virtual', size: 100_000 }));
    },
    run: (operated, signal) =>
      untilGone(operated, signal, async (client) => {
        const serial = `K${serials++}`;
        const csr = await certificateRequest(generateKeyPair().privatePem, serial);
        const device: Enrolling = { serial, csr, isApproved: false, certificate: undefined };
        await ask({ client }, device);
        all.push(device);
        await client.enrollments.decide({ action: 'approve', names: [`killed-${serial}`] });
        device.isApproved = true;
        // Every other device is away when it is approved, so that a kill finds approved devices without a certificate.
        if (serials % 2 === 0) device.certificate = (await ask({ client }, device)).identity?.certificate;
        count++;
      }),
    async verify(operated) {
      const certificates = new Set<string>();
      for (const device of all) {
        const { state, identity } = await ask(operated, device);
        // An approval whose response was lost may or may not have been stored.
        if (device.isApproved) expect(state).toBe('issued');
        if (device.certificate !== undefined) expect(identity?.certificate).toBe(device.certificate);
        if (identity) certificates.add(identity.certificate);
      }
      const issued = (await operated.client.batches.get('killed')).devices.issued;
      expect(issued).toBeGreaterThanOrEqual(certificates.size);
      // Later rounds verify new devices; one of these stays, to be verified again.
      all.splice(0, all.length - 1);
    },
    acknowledged: () => count,
  };
}

it('a platform that is killed between an approval and the certificate issues one certificate to each device', {
  timeout: rounds * 60_000,
}, async () => {
  const random = seededRandom(Number(process.env.AIOT_SEED ?? 1));
  const moments = Array.from({ length: rounds }, () => ({ waitMs: 200 + Math.floor(random() * 900) }));
  const load = enrollmentLoad();
  await killUnder(victim, [load], moments);
  expect(load.acknowledged()).toBeGreaterThan(0);
});
