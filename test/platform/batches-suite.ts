import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createClient, type RegistryClient } from '../../src/lib/api/client.js';
import type { Enrollment } from '../../src/lib/api/contract/batches.js';
import { generateKeyPair } from '../../src/lib/core/crypto.js';
import { writeFileAtomic } from '../../src/lib/core/files.js';
import { certificateRequest } from '../../src/lib/provision/certificates.js';
import { identityOf } from '../../src/lib/provision/identity-folder.js';
import { fakeDevice } from '../support/fake-device.js';
import type { TestPlatform } from '../support/platform.js';

/** A platform, the clients of its replicas, and a clock that tests set. */
export interface BatchPlatform {
  own: TestPlatform;
  /** A client with an operator's token of each replica. */
  replicas: RegistryClient[];
  /** Adds to the platform's clock, ms. */
  pass(ms: number): void;
  /** Stops the platform's clock. */
  freeze(): void;
}

/** How devices of a batch get in, on any database. */
export function batchesSuite(start: () => Promise<BatchPlatform>): void {
  let there: BatchPlatform;
  let client: RegistryClient;
  let anybody: RegistryClient;

  beforeAll(async () => {
    there = await start();
    client = there.own.client;
    anybody = createClient({ url: there.own.platform.urls.http, ca: there.own.ca });
  });
  afterAll(async () => {
    await anybody.close();
    await there.own.stop();
  });

  /** A device with its own key. */
  async function board(serial: string, mac?: string) {
    const key = generateKeyPair().privatePem;
    const csr = await certificateRequest(key, serial);
    const ask = (batch: string, as = serial, by = anybody) =>
      by.enrollments.enroll({ key: batch, csr, serial: as, ...(mac === undefined ? {} : { mac }) });
    return { key, csr, ask };
  }
  const shown = async (name: string): Promise<Enrollment | undefined> =>
    (await client.enrollments.list({ limit: 1000 })).enrollments.find((each) => each.name === name);
  const approve = (...names: string[]) => client.enrollments.decide({ action: 'approve', names });
  const eventsOf = async (subject: string) =>
    (await client.events.page({ subject })).events.map(({ type, who }) => [type, who]);
  const refused = { code: 'AIOT_ENROLLMENT_REFUSED' };

  describe('the first connection of a device', () => {
    it('waits without access until a user approves it, then gets its own identity, tags and group', async () => {
      const { batch, key } = await client.batches.create({
        name: 'hall',
        type: 'virtual',
        tags: { site: 'lab' },
        groups: ['presses'],
      });
      expect(batch).toMatchObject({ state: 'open', size: 100, expected: 0, pattern: null });
      const device = await board('A1', '24:0a:c4:00:00:01');
      const first = await device.ask(key);
      expect(first).toMatchObject({ state: 'waiting', name: 'hall-A1', identity: null });
      expect(first.retryMs).toBeGreaterThanOrEqual(5000);
      await expect(client.devices.get('hall-A1')).rejects.toMatchObject({ code: 'AIOT_NOT_FOUND' });
      const warnings = async () => (await client.status()).warnings;
      const message = '1 device of a batch waiting for approval; run aiot device waiting list';
      const warning = { about: 'approval', message };
      expect(await warnings()).toContainEqual(warning);
      expect(await shown('hall-A1')).toMatchObject({
        ...{ batch: 'hall', serial: 'A1', mac: '24:0a:c4:00:00:01', type: 'virtual', state: 'waiting' },
        ...{ expected: null, problem: null, conflicts: 0, who: null },
      });
      expect(await approve('hall-A1')).toEqual([
        { name: 'hall-A1', outcome: 'changed', state: 'approved', error: null },
      ]);
      expect(await client.devices.get('hall-A1')).toMatchObject({ state: 'registered', fingerprint: null });
      expect(await warnings()).not.toContainEqual(warning);
      const { identity } = await device.ask(key);
      expect(identity?.device).toMatchObject({
        ...{ name: 'hall-A1', type: 'virtual', state: 'provisioned', mac: '24:0a:c4:00:00:01' },
        ...{ tags: { site: 'lab' }, groups: ['presses'] },
      });
      const folder = join(there.own.folder, 'hall-A1');
      for (const { name, data } of identityOf(device.key, identity!))
        await writeFileAtomic(join(folder, name), data);
      const connected = await fakeDevice(there.own.platform.urls.mqtts, folder, 'hall-A1');
      await connected.report('IDLE');
      await expect
        .poll(async () => (await client.devices.get('hall-A1')).state, { timeout: 20_000 })
        .toBe('active');
      await connected.client.endAsync();
      expect((await eventsOf('hall-A1')).slice(0, 4)).toEqual([
        ['enrollment.wait', 'batch hall'],
        ['enrollment.approve', expect.stringContaining('')],
        ['device.register', expect.stringContaining('')],
        ['device.claim', 'batch hall'],
      ]);
    });

    it('gets the same certificate for each repeated request', async () => {
      const { key } = await client.batches.create({ name: 'again', type: 'virtual', pattern: '*' });
      const device = await board('B1');
      const first = await device.ask(key);
      expect(first).toMatchObject({ state: 'issued', retryMs: null });
      const again = await Promise.all([device.ask(key), device.ask(key), device.ask(key)]);
      for (const { identity } of again) expect(identity?.certificate).toBe(first.identity?.certificate);
      expect((await client.batches.get('again')).devices).toMatchObject({ issued: 1, waiting: 0 });
    });

    it('issues one certificate to concurrent first requests', async () => {
      const { key } = await client.batches.create({ name: 'rush', type: 'virtual', pattern: 'R*' });
      const urls = [anybody, ...there.replicas];
      // Several devices, and requests at different moments of the first one.
      for (let number = 1; number <= 20; number++) {
        const device = await board(`R${number}`);
        const answers = await Promise.all(
          Array.from({ length: 12 }, async (_, i) => {
            await sleep(i * 2);
            return device.ask(key, `R${number}`, urls[i % urls.length]!);
          }),
        );
        expect(new Set(answers.map(({ identity }) => identity?.certificate)).size).toBe(1);
      }
    });

    it('needs a key of a batch, a signed request and a serial number', async () => {
      const { key } = await client.batches.create({ name: 'strict', type: 'virtual' });
      const device = await board('S1');
      await expect(device.ask('batch_unknown')).rejects.toMatchObject({ code: 'AIOT_BATCH_INVALID' });
      await expect(
        anybody.enrollments.enroll({ key, csr: 'no request', serial: 'S1' }),
      ).rejects.toMatchObject({ code: 'AIOT_CSR_INVALID' });
      await expect(device.ask(key, '../S1')).rejects.toMatchObject({ code: 'AIOT_REQUEST_INVALID' });
      expect((await client.batches.get('strict')).devices.waiting).toBe(0);
    });
  });

  describe('rules of a batch', () => {
    it('approve expected serial numbers, and let others wait', async () => {
      const { batch, key } = await client.batches.create({
        ...{ name: 'ruled', type: 'virtual', pattern: '24-*', serials: ['X7', 'X8', 'X7'] },
      });
      expect(batch.expected).toBe(2);
      const states = [];
      for (const serial of ['24-1', 'X7', 'X9']) states.push((await (await board(serial)).ask(key)).state);
      expect(states).toEqual(['issued', 'issued', 'waiting']);
      expect(await shown('ruled-X9')).toMatchObject({ expected: false });
      expect(await shown('ruled-X7')).toMatchObject({ expected: true, who: 'batch ruled' });
    });

    it('limit the number of devices, and rejected devices make room', async () => {
      const { key } = await client.batches.create({ name: 'small', type: 'virtual', size: 2 });
      const [one, two, three] = [await board('1'), await board('2'), await board('3')];
      await one.ask(key);
      await two.ask(key);
      await expect(three.ask(key)).rejects.toMatchObject(refused);
      await client.enrollments.decide({ action: 'reject', names: ['small-1'], note: 'not ours' });
      expect(await three.ask(key)).toMatchObject({ state: 'waiting' });
      await expect(one.ask(key)).rejects.toMatchObject({
        ...refused,
        message: 'small-1 was rejected: not ours',
      });
      // The batch is full again, so the rejected device cannot be approved.
      expect(await approve('small-1')).toMatchObject([
        { outcome: 'refused', error: { code: 'AIOT_ENROLLMENT_REFUSED' } },
      ]);
    });

    it('keep rejected devices out of a full batch, even with new keys', async () => {
      const { key } = await client.batches.create({ name: 'sieged', type: 'virtual', size: 2 });
      for (const serial of ['I1', 'I2']) await (await board(serial)).ask(key);
      await client.enrollments.decide({ action: 'reject', names: ['sieged-I1', 'sieged-I2'] });
      for (const serial of ['R1', 'R2']) await (await board(serial)).ask(key);
      const back = await board('I1');
      for (const device of [back, await board('I2')])
        await expect(device.ask(key)).rejects.toMatchObject({
          ...refused,
          message: 'the batch sieged is full: it has 2 devices',
        });
      const count = async () => (await client.batches.get('sieged')).devices;
      expect(await count()).toMatchObject({ waiting: 2, rejected: 2 });
      await client.enrollments.decide({ action: 'reject', names: ['sieged-R2'] });
      expect(await back.ask(key)).toMatchObject({ state: 'waiting' });
      expect(await shown('sieged-I1')).toMatchObject({ problem: 'it was rejected before' });
      expect(await count()).toMatchObject({ waiting: 2, rejected: 2 });
    });

    it('let a removed device back into its own place in a full batch', async () => {
      const { key } = await client.batches.create({ name: 'single', type: 'virtual', size: 1, pattern: '*' });
      const device = await board('O1');
      await device.ask(key);
      await client.devices.act('single-O1', 'revoke');
      await client.devices.remove('single-O1');
      await expect((await board('O2')).ask(key)).rejects.toMatchObject(refused);
      expect(await device.ask(key)).toMatchObject({ state: 'waiting' });
      expect(await approve('single-O1')).toMatchObject([{ outcome: 'changed' }]);
      expect(await device.ask(key)).toMatchObject({ state: 'issued' });
    });

    it('show by page whether serial numbers are expected', async () => {
      const made = { type: 'virtual', tags: { view: 'pages' } };
      const listed = await client.batches.create({ ...made, name: 'page-a', serials: ['P2', 'P3'] });
      const like = await client.batches.create({ ...made, name: 'page-b', pattern: 'P1' });
      const free = await client.batches.create({ ...made, name: 'page-c' });
      for (const { key } of [listed, like, free])
        for (const serial of ['P1', 'P2']) await (await board(serial)).ask(key);
      const pages = async (selector: string) => {
        const all: [string, boolean | null][][] = [];
        let after: string | undefined;
        do {
          const page = await client.enrollments.list({ selector, limit: 4, after });
          all.push(page.enrollments.map(({ name, expected }) => [name, expected]));
          after = page.next ?? undefined;
        } while (after !== undefined);
        return all;
      };
      expect(await pages('view=pages')).toEqual([
        [
          ['page-a-P1', false],
          ['page-a-P2', true],
          ['page-b-P1', true],
          ['page-b-P2', false],
        ],
        [
          ['page-c-P1', null],
          ['page-c-P2', null],
        ],
      ]);
      expect(await pages('view=pages and name in (page-c-P2, page-a-P2, hall-A1)')).toEqual([
        [
          ['page-a-P2', true],
          ['page-c-P2', null],
        ],
      ]);
      expect(await pages('nobody,page-b-P2')).toEqual([[['page-b-P2', false]]]);
      expect(await pages('name=nobody')).toEqual([[]]);
    });

    it('select waiting devices by their batch and by the tags that they get', async () => {
      const { key } = await client.batches.create({ name: 'tagged', type: 'pi', tags: { line: '7' } });
      await (await board('T1')).ask(key);
      await (await board('T2')).ask(key);
      const names = async (query: object) =>
        (await client.enrollments.list(query)).enrollments.map(({ name }) => name);
      expect(await names({ selector: 'line=7' })).toEqual(['tagged-T1', 'tagged-T2']);
      expect(await names({ selector: 'name=tagged-T2', state: 'waiting' })).toEqual(['tagged-T2']);
      expect(await names({ batch: 'tagged', state: 'issued' })).toEqual([]);
    });
  });

  describe('a device that lies', () => {
    it('is refused and shown if it asks for the serial number of another device', async () => {
      const { key } = await client.batches.create({ name: 'liars', type: 'virtual', pattern: '*' });
      const honest = await board('L1');
      const { identity } = await honest.ask(key);
      const liar = await board('L1');
      for (let i = 0; i < 3; i++) await expect(liar.ask(key)).rejects.toMatchObject(refused);
      // Anyone with the batch's key could discredit the device.
      expect(await shown('liars-L1')).toMatchObject({ state: 'issued', conflicts: 3, problem: null });
      const types = (await eventsOf('liars-L1')).map(([type]) => type);
      expect(types.filter((type) => type === 'enrollment.conflict')).toHaveLength(1);
      expect((await honest.ask(key)).identity?.certificate).toBe(identity?.certificate);
    });

    it('does not replace the reason for not trusting a device that waits', async () => {
      const { key } = await client.batches.create({ name: 'reasons', type: 'virtual' });
      const rejected = await board('Q1');
      await rejected.ask(key);
      await client.enrollments.decide({ action: 'reject', names: ['reasons-Q1'] });
      const back = await board('Q1');
      await back.ask(key);
      await expect(rejected.ask(key)).rejects.toMatchObject(refused);
      expect(await shown('reasons-Q1')).toMatchObject({ problem: 'it was rejected before', conflicts: 1 });
    });

    it('is refused and shown if its key asks for a second serial number', async () => {
      const { key } = await client.batches.create({ name: 'greedy', type: 'virtual' });
      const device = await board('G1');
      await device.ask(key);
      await expect(device.ask(key, 'G2')).rejects.toMatchObject(refused);
      expect(await shown('greedy-G1')).toMatchObject({
        conflicts: 1,
        problem: 'its key also asked for the serial number G2 of greedy',
      });
      expect(await shown('greedy-G2')).toBeUndefined();
    });

    it('waits with its problem, whatever the rule, if it shows the MAC address of another device', async () => {
      const { key } = await client.batches.create({ name: 'macs', type: 'virtual', pattern: '*' });
      const mac = '24:0a:c4:00:00:77';
      await (await board('M1', mac)).ask(key);
      const liar = await board('M2', mac);
      expect(await liar.ask(key)).toMatchObject({ state: 'waiting' });
      expect(await shown('macs-M2')).toMatchObject({
        ...{ state: 'waiting', problem: `its MAC address ${mac} belongs to macs-M1` },
      });
      expect(await approve('macs-M2')).toMatchObject([
        { outcome: 'refused', state: 'waiting', error: { code: 'AIOT_ALREADY_EXISTS' } },
      ]);
    });
  });

  describe('decisions', () => {
    it('take effect once if two users decide at the same time', async () => {
      const { key } = await client.batches.create({ name: 'twice', type: 'virtual' });
      const device = await board('D1');
      await device.ask(key);
      const by = [client, ...there.replicas];
      const outcomes = await Promise.all(
        Array.from({ length: 4 }, (_, i) =>
          by[i % by.length]!.enrollments.decide({ action: 'approve', names: ['twice-D1'] }),
        ),
      );
      const all = outcomes.flat().map(({ outcome }) => outcome);
      expect(all.toSorted()).toEqual(['changed', 'same', 'same', 'same']);
      const types = (await eventsOf('twice-D1')).map(([type]) => type);
      expect(types.filter((type) => type === 'enrollment.approve')).toHaveLength(1);
      expect(await device.ask(key)).toMatchObject({ state: 'issued' });
      expect(
        await client.enrollments.decide({ action: 'reject', names: ['twice-D1', 'nobody'] }),
      ).toMatchObject([
        { outcome: 'refused', state: 'issued', error: { code: 'AIOT_DEVICE_STATE' } },
        { outcome: 'refused', state: null, error: { code: 'AIOT_NOT_FOUND' } },
      ]);
    });

    it('let a removed device wait for a user again, even if a rule would approve it', async () => {
      const { key } = await client.batches.create({ name: 'back', type: 'virtual', pattern: '*' });
      const device = await board('E1');
      await device.ask(key);
      await client.devices.act('back-E1', 'revoke');
      await expect(device.ask(key)).rejects.toMatchObject({ ...refused, message: 'back-E1 was revoked' });
      await client.devices.remove('back-E1');
      const reset = await board('E1');
      expect(await reset.ask(key)).toMatchObject({ state: 'waiting' });
      expect(await shown('back-E1')).toMatchObject({ problem: 'its device was removed' });
      // The old key has lost the serial number.
      await expect(device.ask(key)).rejects.toMatchObject(refused);
      await approve('back-E1');
      expect(await reset.ask(key)).toMatchObject({ state: 'issued' });
    });
  });

  describe('the end of a batch', () => {
    it('refuses new devices once it has expired, but completes devices that asked in time', async () => {
      const { key } = await client.batches.create({ name: 'short', type: 'virtual', validMs: 60_000 });
      const early = await board('F1');
      await early.ask(key);
      there.pass(61_000);
      await expect((await board('F2')).ask(key)).rejects.toMatchObject(refused);
      expect((await client.batches.get('short')).state).toBe('expired');
      await approve('short-F1');
      expect(await early.ask(key)).toMatchObject({ state: 'issued' });
    });

    it('refuses every request once it is revoked, and approved devices keep their certificates', async () => {
      const { key } = await client.batches.create({ name: 'ended', type: 'virtual' });
      const [issued, waiting] = [await board('H1'), await board('H2')];
      await issued.ask(key);
      await waiting.ask(key);
      await approve('ended-H1');
      await issued.ask(key);
      expect(await client.batches.revoke('ended')).toMatchObject({ state: 'revoked' });
      await client.batches.revoke('ended');
      for (const device of [issued, waiting]) await expect(device.ask(key)).rejects.toMatchObject(refused);
      expect(await approve('ended-H2')).toMatchObject([{ outcome: 'refused', state: 'waiting' }]);
      expect(await client.devices.get('ended-H1')).toMatchObject({ state: 'provisioned' });
      expect((await eventsOf('ended')).map(([type]) => type)).toEqual(['batch.create', 'batch.revoke']);
    });

    it('does not free the name of the batch', async () => {
      await expect(client.batches.create({ name: 'ended', type: 'virtual' })).rejects.toMatchObject({
        code: 'AIOT_ALREADY_EXISTS',
      });
    });
  });

  describe('with the clock stopped', () => {
    beforeAll(() => there.freeze());
    /** The codes of 320 requests. */
    const flood = async (ask: (i: number) => Promise<unknown>) => {
      const codes = new Set<string>();
      for (let i = 0; i < 32; i++) {
        const ten = Array.from({ length: 10 }, (_, j) => ask(10 * i + j));
        for (const one of await Promise.allSettled(ten))
          codes.add(one.status === 'fulfilled' ? 'accepted' : (one.reason as { code: string }).code);
      }
      return codes;
    };

    it('limits contradictions, but keeps out neither new devices nor those that wait', async () => {
      const { key } = await client.batches.create({ name: 'flood', type: 'virtual', size: 1000 });
      const [device, liar] = [await board('W1'), await board('W1')];
      await device.ask(key);
      const codes = await flood(() => liar.ask(key));
      expect(codes).toEqual(new Set(['AIOT_ENROLLMENT_REFUSED', 'AIOT_RATE_LIMITED']));
      expect(await shown('flood-W1')).toMatchObject({ state: 'waiting', conflicts: 20 });
      expect(await device.ask(key)).toMatchObject({ state: 'waiting' });
      expect(await (await board('W2')).ask(key)).toMatchObject({ state: 'waiting' });
      await expect(liar.ask(key)).rejects.toMatchObject({ retryable: true, retryAfterMs: 60_000 });
      there.pass(61_000);
      await expect(liar.ask(key)).rejects.toMatchObject(refused);
    });

    it('limits new devices of a batch, whose key may have leaked, but not the devices that wait', async () => {
      const { key } = await client.batches.create({ name: 'crowd', type: 'virtual', size: 1 });
      const [device, stranger] = [await board('W1'), await board('N')];
      await device.ask(key);
      const codes = await flood((i) => stranger.ask(key, `N${i}`));
      expect(codes).toEqual(new Set(['AIOT_ENROLLMENT_REFUSED', 'AIOT_RATE_LIMITED']));
      expect(await device.ask(key)).toMatchObject({ state: 'waiting' });
      const limited = { code: 'AIOT_RATE_LIMITED', retryable: true };
      await expect((await board('W2')).ask(key)).rejects.toMatchObject(limited);
      there.pass(61_000);
      await expect((await board('W2')).ask(key)).rejects.toMatchObject(refused);
    });
  });
}
