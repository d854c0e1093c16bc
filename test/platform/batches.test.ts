import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Kysely } from 'kysely';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { EnrollmentState } from '../../src/lib/api/contract/batches.js';
import { generateKeyPair } from '../../src/lib/core/crypto.js';
import { deferred } from '../../src/lib/core/tasks.js';
import { systemClock } from '../../src/lib/core/time.js';
import { Batches } from '../../src/lib/platform/devices/batches.js';
import { Devices } from '../../src/lib/platform/devices/devices.js';
import { Enrollments } from '../../src/lib/platform/devices/enrollments.js';
import type { Enrolment } from '../../src/lib/platform/devices/enrolment.js';
import { eventsIn } from '../../src/lib/platform/events/events.js';
import { openStore } from '../../src/lib/platform/store/database.js';
import type { Schema } from '../../src/lib/platform/store/schema.js';
import { certificateRequest } from '../../src/lib/provision/certificates.js';
import { testPlatform } from '../support/platform.js';
import { batchesSuite } from './batches-suite.js';

describe('batches of devices', () => {
  batchesSuite(async () => {
    let passed = 0;
    let frozen: number | undefined;
    const own = await testPlatform({ clock: { ...systemClock, now: () => (frozen ?? Date.now()) + passed } });
    return { own, replicas: [], pass: (ms) => (passed += ms), freeze: () => (frozen = Date.now()) };
  });
});

describe('devices that ask, in a database with thousands of them', () => {
  const at = Date.UTC(2026, 10, 20);
  let folder: string;
  let store: Kysely<Schema>;
  let batches: Batches;
  let devices: Devices;
  let enrollments: Enrollments;
  /** Statements, and rows that they returned. */
  let [statements, rows] = [0, 0];

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'aiot-enrollments-'));
    const plain = await openStore(join(folder, 'state.db'));
    store = plain.withPlugin({
      transformQuery({ node }) {
        statements++;
        return node;
      },
      async transformResult({ result }) {
        rows += result.rows.length;
        return result;
      },
    });
    const now = () => at;
    const events = eventsIn(store, now);
    batches = new Batches({ store, events, now });
    devices = await Devices.open(store, now, events);
    // No device gets a certificate here.
    const enrolment = {} as Enrolment;
    enrollments = new Enrollments({ store, batches, devices, enrolment, events, now });
  });
  afterEach(async () => {
    await store.destroy();
    await rm(folder, { recursive: true, force: true });
  });

  /** Creates a batch that expects S0001. */
  const create = async (name: string, size: number) => {
    const request = { type: 'pi', tags: {}, groups: [], serials: ['S0001'], validMs: 86_400_000 };
    return (await batches.create({ ...request, name, size }, 'ada')).key;
  };
  /** Inserts devices that have asked, with the MAC address 24:0a:c4:00:00:01 for the last one. */
  const insert = async (batch: string, count: number, state: EnrollmentState = 'waiting') => {
    const all = Array.from({ length: count }, (_, i) => {
      const serial = `S${String(i + 1).padStart(4, '0')}`;
      return {
        ...{ name: `${batch}-${serial}`, batch, serial, state, publicKey: `key of ${serial}` },
        ...{ mac: i === count - 1 ? '24:0a:c4:00:00:01' : null, address: '127.0.0.1', created: at, seen: at },
        ...{ device: null, certificate: null, who: null, decided: null, note: null, problem: null },
        ...{ conflicts: 0, conflictAt: null },
      };
    });
    for (let i = 0; i < count; i += 500)
      await store
        .insertInto('enrollments')
        .values(all.slice(i, i + 500))
        .execute();
  };
  const board = async (serial: string) => {
    const csr = await certificateRequest(generateKeyPair().privatePem, serial);
    return (key: string, address: string) => enrollments.ask({ key, csr, serial }, address);
  };
  const refused = { code: 'AIOT_ENROLLMENT_REFUSED' };

  it.each([
    ['a name', 'name="hall-S1500"', ['hall-S1500'], 5],
    ['names', 'hall-S0001,hall-S1500', ['hall-S0001', 'hall-S1500'], 8],
    ['a condition', 'mac=24:0a:c4:00:00:01', ['hall-S3000'], 3010],
  ])('are found by %s with few statements', async (_, selector, names, mostRows) => {
    await create('hall', 5000);
    await insert('hall', 3000);
    [statements, rows] = [0, 0];
    const found = await enrollments.list({ selector, limit: 100 });
    expect(found.enrollments.map(({ name }) => name)).toEqual(names);
    for (const { name, expected } of found.enrollments) expect(expected).toBe(name === 'hall-S0001');
    expect(rows).toBeLessThanOrEqual(mostRows);
    expect(statements).toBeLessThanOrEqual(8);
  });

  it('are described page by page, with the same number of statements for any number of devices', async () => {
    await create('hall', 5000);
    await insert('hall', 1500);
    [statements, rows] = [0, 0];
    const { enrollments: listed, next } = await enrollments.list({ limit: 1000 });
    expect(listed).toHaveLength(1000);
    expect(listed.filter(({ expected }) => expected).map(({ name }) => name)).toEqual(['hall-S0001']);
    expect(next).toBe('hall-S1000');
    expect(statements).toBe(4);
  });

  it('are approved only as long as the batch has places, if an earlier version let too many in', async () => {
    await create('over', 2);
    await insert('over', 4);
    const names = ['over-S0001', 'over-S0002', 'over-S0003', 'over-S0004'];
    const decided = await enrollments.decide({ action: 'approve', names }, 'ada', async () => {});
    expect(decided.map(({ outcome, error }) => [outcome, error?.code])).toEqual([
      ['changed', undefined],
      ['changed', undefined],
      ['refused', 'AIOT_ENROLLMENT_REFUSED'],
      ['refused', 'AIOT_ENROLLMENT_REFUSED'],
    ]);
    expect((await batches.get('over')).devices).toMatchObject({ waiting: 2, approved: 2 });
  });

  it('are contradicted at most 60 times a minute from all addresses, and 20 times from one', async () => {
    const key = await create('liars', 100);
    await (await board('S9'))(key, '10.0.0.1');
    const lie = await board('S9');
    const counts: Record<string, number> = {};
    for (let address = 2; address < 7; address++)
      for (let i = 0; i < 30; i++) {
        const { code } = await lie(key, `10.0.0.${address}`).then(
          () => ({ code: 'accepted' }),
          (error: { code: string }) => error,
        );
        const name = `${address} ${code}`;
        counts[name] = (counts[name] ?? 0) + 1;
      }
    expect(counts).toEqual({
      ...{ '2 AIOT_ENROLLMENT_REFUSED': 20, '2 AIOT_RATE_LIMITED': 10 },
      ...{ '3 AIOT_ENROLLMENT_REFUSED': 20, '3 AIOT_RATE_LIMITED': 10 },
      ...{ '4 AIOT_ENROLLMENT_REFUSED': 20, '4 AIOT_RATE_LIMITED': 10 },
      ...{ '5 AIOT_RATE_LIMITED': 30, '6 AIOT_RATE_LIMITED': 30 },
    });
    // New devices have a limit of their own.
    expect(await (await board('S10'))(key, '10.0.0.2')).toMatchObject({ state: 'waiting' });
  });

  it('are contradicted without waiting for changes of other devices', async () => {
    const key = await create('busy', 100);
    await (await board('S9'))(key, '10.0.0.1');
    const change = deferred();
    const changing = devices.inTurnOf(['motor-1'], () => change.promise);
    await expect((await board('S9'))(key, '10.0.0.2')).rejects.toMatchObject(refused);
    change.resolve();
    await changing;
  });
});
