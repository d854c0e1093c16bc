import { randomBytes } from 'node:crypto';
import type { StoredBirth } from '../../api/contract/devices.js';
import { type SimulatedReply, type SimulatedRequest, simulatedTag } from '../../api/contract/devices.js';
import { chipIdOf, type DeviceInfo } from '../../api/fields.js';
import { sha256Hex } from '../../core/crypto.js';
import { AiotError } from '../../core/errors.js';
import { newId } from '../../core/names.js';
import { type DeviceState, deviceStep, mayConnect } from '../../fleet/device.js';
import { verifyBirth } from '../../formats/manifest/birth.js';
import type { Envelope } from '../../formats/manifest/envelope.js';
import { type Authority, describeCertificate } from '../../provision/authority.js';
import { requestKey } from '../../provision/certificates.js';
import { type Reach, requireInReach } from '../access/reach.js';
import { simulatedSecret } from '../access/secrets.js';
import type { Events } from '../events/events.js';
import type { Trust } from '../releases/trust.js';
import type { Store } from '../store/database.js';
import type { DeviceRecord, Devices, NewDevice } from './devices.js';
import type { Board } from './records.js';
import { noteCertificate } from './revocations.js';

/** A device to be registered. */
interface Newcomer {
  name: string;
  type: string;
  mac?: string | undefined;
  chipId?: string | undefined;
}

export interface Enrolled {
  device: DeviceInfo;
  /** PEM */
  certificate: string;
  /** Whether to discard the state of an earlier device with this name. */
  fresh: boolean;
}

/** A registered device's request for its first certificate. */
interface ClaimedRequest {
  csr: string;
  mac: string | undefined;
  along: (store: Store, certificate: string) => Promise<unknown>;
}

interface Asked {
  /** PEM */
  csr: string;
  /** Devices that the requester's rights are limited to; absent or null = all. */
  reach?: Reach | null;
  /** Fingerprint of the device's last certificate, as known to the requester; absent = not compared. */
  latest?: string | null | undefined;
}

interface Rotation extends Asked {
  /** Whether the current certificate becomes invalid immediately. */
  now: boolean;
}

interface Replacement extends Asked {
  /** MAC of the replacement board. */
  mac?: string | undefined;
}

interface EnrolmentParts {
  devices: Devices;
  authority: Authority;
  events: Events;
  /** ms since 1970 */
  now: () => number;
}

/** Issues devices' certificates: the first one, later ones, and those of replacement boards. */
export class Enrolment {
  constructor(private readonly parts: EnrolmentParts) {}

  /** Signs the request and registers the device. @throws AIOT_ALREADY_EXISTS, AIOT_CSR_INVALID */
  provision(newcomer: Newcomer, csr: string, who: string): Promise<Enrolled> {
    const { devices, authority, events } = this.parts;
    const provision = async () => {
      const device = this.plan(newcomer, 'provisioned');
      const { name } = device;
      devices.requireFree(device);
      const signed = await authority.device({ csr, name, id: device.id });
      const { certificate, fingerprint, expires } = signed;
      const event = { who, type: 'device.provision' as const, subject: name, data: { fingerprint } };
      const { replaced } = await devices.insert({ ...device, fingerprint, expires }, async (store) => {
        await noteCertificate(store, name, signed);
        await events.record(event, store);
      });
      return { device: devices.info(name), certificate, fresh: replaced };
    };
    return devices.inTurnOf([newcomer.name], provision, boardOf(newcomer));
  }

  /** Reserves a name for a device that has no certificate yet. An existing reservation is left unchanged. @throws AIOT_ALREADY_EXISTS */
  register(newcomer: Newcomer, who: string): Promise<Pick<Enrolled, 'device' | 'fresh'>> {
    const { devices, events } = this.parts;
    const register = async () => {
      const { name, type } = newcomer;
      const there = devices.find(name);
      let fresh = false;
      if (there?.state !== 'registered' || there.type !== type) {
        const event = { who, type: 'device.register' as const, subject: name, data: { type } };
        const planned = this.plan(newcomer, 'registered');
        const { replaced } = await devices.insert(planned, (store) => events.record(event, store));
        fresh = replaced;
      } else {
        const { mac, chipId } = boardOf(newcomer);
        const board = { mac: mac ?? there.mac, chipId: chipId ?? there.chipId };
        devices.requireFreeBoard(board, name);
        const same = board.mac === there.mac && board.chipId === there.chipId;
        const event = { who, type: 'device.register' as const, subject: name, data: { type, ...board } };
        if (!same) await devices.update(there, board, (store) => events.record(event, store));
      }
      return { device: devices.info(name), fresh };
    };
    return devices.inTurnOf([newcomer.name], register, boardOf(newcomer));
  }

  /**
   * Issues the first certificate of a registered device. Call only in a turn of the device and the requested board.
   * @param request `along`: additional writes in the same transaction
   * @throws AIOT_CSR_INVALID, AIOT_ALREADY_EXISTS (the board belongs to another device)
   */
  async certify(device: DeviceRecord, request: ClaimedRequest, who: string): Promise<Enrolled> {
    const { devices, authority, events } = this.parts;
    const { csr, mac, along } = request;
    const { name, id } = device;
    const asked = boardOf({ mac });
    const board = { mac: asked.mac ?? device.mac, chipId: device.chipId ?? asked.chipId };
    devices.requireFreeBoard(board, name);
    const signed = await authority.device({ csr, name, id });
    const { certificate, fingerprint } = signed;
    await devices.certify(device, signed, board, async (store) => {
      await along(store, certificate);
      await noteCertificate(store, name, signed);
      await events.record({ who, type: 'device.claim', subject: name, data: { fingerprint } }, store);
    });
    return { device: devices.info(name), certificate, fresh: false };
  }

  /**
   * Issues a new certificate for the same device. With `now`, the current one ends immediately. @throws AIOT_NOT_FOUND,
   * AIOT_REQUEST_INVALID, AIOT_CSR_INVALID, AIOT_DEVICE_CHANGED
   */
  rotate(name: string, { csr, now, latest, reach = null }: Rotation, who: string): Promise<Enrolled> {
    const { devices, authority, events } = this.parts;
    return devices.inTurnOf([name], async () => {
      requireInReach(reach, [name]);
      const device = devices.record(name);
      deviceStep(device.state, 'certified');
      requireLatest(device, latest, 'rotated');
      const signed = await authority.device({ csr, name, id: device.id });
      const data = { fingerprint: signed.fingerprint, before: device.fingerprint, now };
      const along = async (store: Store) => {
        await noteCertificate(store, name, signed);
        await events.record({ who, type: 'device.rotate', subject: name, data }, store);
      };
      // If there is no current certificate, the new one is valid immediately.
      if (now || device.fingerprint === null) await devices.certify(device, signed, {}, along);
      else await devices.offer(device, signed, along);
      return { device: devices.info(name), certificate: signed.certificate, fresh: false };
    });
  }

  /** Invalidates the previous certificate, because the one issued by `rotate` is installed. @throws AIOT_NOT_FOUND, AIOT_REQUEST_INVALID */
  settle(name: string, fingerprint: string, who: string, reach: Reach | null = null): Promise<DeviceInfo> {
    const { devices, events } = this.parts;
    return devices.inTurnOf([name], async () => {
      requireInReach(reach, [name]);
      const device = devices.record(name);
      if (device.fingerprint !== fingerprint) {
        if (device.nextFingerprint !== fingerprint) {
          const expected = `expected the next certificate of ${name}, ${device.nextFingerprint ?? 'which has none'}`;
          throw new AiotError('AIOT_REQUEST_INVALID', `${expected}; got ${fingerprint}`);
        }
        const data = { fingerprint, before: device.fingerprint };
        const next = { fingerprint, expires: device.nextExpires ?? 0 };
        await devices.certify(device, next, {}, (store) =>
          events.record({ who, type: 'device.settle', subject: name, data }, store),
        );
      }
      return devices.info(name);
    });
  }

  /**
   * Assigns the name to another board: the device gets a new id, and the caller deletes the previous board's report.
   * @throws AIOT_NOT_FOUND, AIOT_REQUEST_INVALID, AIOT_CSR_INVALID, AIOT_ALREADY_EXISTS (the board belongs to another
   * device), AIOT_DEVICE_CHANGED
   */
  replace(name: string, { csr, mac, latest, reach = null }: Replacement, who: string): Promise<Enrolled> {
    const { devices, authority, events, now } = this.parts;
    const board = boardOf({ mac });
    const replace = async () => {
      requireInReach(reach, [name]);
      const device = devices.record(name);
      deviceStep(device.state, 'certified');
      requireLatest(device, latest, 'replaced');
      devices.requireFreeBoard(board, name, reach);
      const id = newId('dev', now());
      const signed = await authority.device({ csr, name, id });
      const data = { fingerprint: signed.fingerprint, before: device.id, id };
      await devices.certify(device, signed, { id, ...board }, async (store) => {
        await noteCertificate(store, name, signed);
        await events.record({ who, type: 'device.replace', subject: name, data }, store);
      });
      return { device: devices.info(name), certificate: signed.certificate, fresh: false };
    };
    return devices.inTurnOf([name], replace, board);
  }

  private plan(newcomer: Newcomer, state: DeviceState): NewDevice {
    const { name, type } = newcomer;
    const created = this.parts.now();
    return {
      ...{ name, type, state, created, id: newId('dev', created) },
      ...{ fingerprint: null, expires: null, ...boardOf(newcomer) },
    };
  }
}

/** The MAC address of a board, and the guide's chip id, which follows from it. */
function boardOf({ mac, chipId }: Pick<Newcomer, 'mac' | 'chipId'>): Board {
  return { mac: mac ?? null, chipId: chipId ?? (mac === undefined ? null : chipIdOf(mac)) };
}

/**
 * Rejects a request based on an outdated certificate. Otherwise, one of two concurrent changes to a device would void
 * the certificate that the other change has just obtained.
 * @throws AIOT_DEVICE_CHANGED
 */
function requireLatest(device: DeviceRecord, latest: Asked['latest'], what: 'rotated' | 'replaced'): void {
  if (latest === undefined || latest === (device.nextFingerprint ?? device.fingerprint)) return;
  const { name } = device;
  throw new AiotError('AIOT_DEVICE_CHANGED', `${name} was ${what} by another user at the same time`, {
    next: `Look at it with \`aiot device show ${name}\`, then repeat the command if the change is still needed.`,
  });
}

interface ClaimParts {
  store: Store;
  devices: Devices;
  enrolment: Enrolment;
  events: Events;
  /** ms since 1970 */
  now: () => number;
}

/**
 * One-time tokens for a device's first certificate: 256 random bits. Only their digest is stored. Anyone who presents a
 * token gets a certificate for their key. Because the response may be lost, the same key gets the same certificate
 * again.
 */
export class Claims {
  constructor(private readonly parts: ClaimParts) {}

  /**
   * Creates a token for a device with this name and registers the device; any earlier token is void. `fresh` as in
   * `Enrolled`.
   * @throws AIOT_ALREADY_EXISTS
   */
  async make(newcomer: Newcomer, validMs: number, who: string) {
    const { store, enrolment, events, now } = this.parts;
    const { device, fresh } = await enrolment.register(newcomer, who);
    const token = `claim_${randomBytes(32).toString('base64url')}`;
    const created = now();
    const expires = created + validMs;
    const row = { digest: sha256Hex(token), device: device.id, created, expires };
    await store.transaction().execute(async (transaction) => {
      await transaction.deleteFrom('claims').where('device', '=', device.id).execute();
      await transaction
        .insertInto('claims')
        .values({ ...row, publicKey: null, certificate: null })
        .execute();
      const event = { who, type: 'claim.make' as const, subject: device.name, data: { expires } };
      await events.record(event, transaction);
    });
    return { claim: { device, token, expires }, fresh };
  }

  /**
   * Issues the first certificate of a registered device. Any other way of issuing a certificate (another claim,
   * `rotate`, `replace`), as well as `revoke`, voids the device's open claims. A rejected claim is not used up.
   * @throws AIOT_CLAIM_INVALID, AIOT_CSR_INVALID, AIOT_ALREADY_EXISTS (the board belongs to another device)
   */
  async redeem(token: string, csr: string, mac: string | undefined): Promise<Enrolled> {
    const publicKey = await requestKey(csr);
    const { devices, enrolment, now } = this.parts;
    const { name } = await this.find(token);
    const redeem = async () => {
      const claim = await this.find(token);
      const device = await devices.withId(claim.device);
      if (!device || device.state === 'revoked') throw invalid('its device is no longer registered');
      if (claim.certificate !== null) {
        if (claim.publicKey !== publicKey) throw invalid('it was used by another device');
        const { fingerprint } = describeCertificate(claim.certificate);
        if (fingerprint !== device.fingerprint)
          throw invalid('its device has received another certificate since');
        return { device: devices.info(device.name), certificate: claim.certificate, fresh: false };
      }
      if (device.state !== 'registered') throw invalid('its device already has a certificate');
      if (claim.expires <= now()) throw invalid('it has expired');
      const { digest } = claim;
      const used = (store: Store, certificate: string) =>
        store.updateTable('claims').set({ publicKey, certificate }).where('digest', '=', digest).execute();
      return await enrolment.certify(device, { csr, mac, along: used }, `claim ${digest.slice(0, 12)}`);
    };
    return await devices.inTurnOf([name], redeem, boardOf({ mac }));
  }

  private async find(token: string) {
    const digest = sha256Hex(token);
    const claims = this.parts.store.selectFrom('claims').leftJoin('devices', 'devices.id', 'claims.device');
    const claim = await claims
      .selectAll('claims')
      .select('devices.name')
      .where('digest', '=', digest)
      .executeTakeFirst();
    if (!claim) throw invalid('it was never issued, or was replaced by a later one');
    if (claim.name === null) throw invalid('its device is no longer registered');
    return { ...claim, name: claim.name };
  }
}

function invalid(reason: string): AiotError {
  return new AiotError('AIOT_CLAIM_INVALID', `the token cannot be used for a certificate: ${reason}`);
}

interface BirthParts {
  store: Store;
  devices: Devices;
  trust: Trust;
  events: Events;
  /** ms since 1970 */
  now: () => number;
}

/**
 * Devices' birth certificates, as signed by their operators. All of them are stored; a device's newest certificate
 * applies.
 */
export class Births {
  constructor(private readonly parts: BirthParts) {}

  /** @throws AIOT_NOT_FOUND, AIOT_TRUST_MISSING, AIOT_SIGNATURE_INVALID, AIOT_MANIFEST_MALFORMED, AIOT_REQUEST_INVALID (for another device) */
  async put(name: string, envelope: Envelope, who: string): Promise<StoredBirth> {
    const { store, devices, trust, events, now } = this.parts;
    const root = await trust.get();
    if (!root) throw new AiotError('AIOT_TRUST_MISSING', 'the platform has no trust root yet');
    const { birth } = verifyBirth(envelope, root);
    const { id, fingerprint, nextFingerprint } = devices.record(name);
    const own = [fingerprint, nextFingerprint].includes(birth.certificate.fingerprint);
    if (birth.device.name !== name || birth.device.id !== id || !own) {
      const { device, certificate } = birth;
      throw new AiotError(
        'AIOT_REQUEST_INVALID',
        `expected the current birth certificate of ${name} (${id}), got one of ${device.name} (${device.id}) with ${certificate.fingerprint.slice(0, 12)}…`,
      );
    }
    const stored = now();
    await store.transaction().execute(async (transaction) => {
      const row = { device: id, name, stored, envelope: JSON.stringify(envelope) };
      await transaction.insertInto('births').values(row).execute();
      const data = { fingerprint: birth.certificate.fingerprint, mac: birth.mac };
      await events.record({ who, type: 'device.birth', subject: name, data }, transaction);
    });
    return { envelope, stored };
  }

  /** A device's newest birth certificate. @throws AIOT_NOT_FOUND, AIOT_BIRTH_MISSING */
  async get(name: string): Promise<StoredBirth> {
    const { id } = this.parts.devices.record(name);
    const row = await this.parts.store
      .selectFrom('births')
      .selectAll()
      .where('device', '=', id)
      .orderBy('id', 'desc')
      .executeTakeFirst();
    if (row) return { envelope: JSON.parse(row.envelope) as Envelope, stored: row.stored };
    throw new AiotError('AIOT_BIRTH_MISSING', `${name} has no birth certificate`);
  }
}

interface SimulatedParts {
  devices: Devices;
  events: Events;
  /** ms since 1970 */
  now: () => number;
}

/** Creates the devices of a simulation, many per transaction. */
export class Simulated {
  constructor(private readonly parts: SimulatedParts) {}

  /**
   * Creates the devices; existing ones get a new secret.
   * @throws AIOT_ALREADY_EXISTS if a name belongs to a real device or one of another type, AIOT_DEVICE_ONLINE if another simulation runs one of them
   */
  enlist({ type, devices: asked, tags = {} }: SimulatedRequest, who: string): Promise<SimulatedReply> {
    const { devices, events, now } = this.parts;
    return devices.inTurn(async () => {
      const fresh = asked.filter(({ name }) => !this.isThere(name, type));
      const created = now();
      const news = fresh.map(({ name }): NewDevice & { tags: Record<string, string> } => ({
        ...{ name, type, created, id: newId('dev', created), state: 'provisioned' },
        ...{ fingerprint: null, expires: null, mac: null, chipId: null },
        tags: { ...tags, [simulatedTag]: 'yes' },
      }));
      await devices.insertAll(news, async (store: Store) => {
        for (const { name, digest } of asked) {
          const secret = simulatedSecret(digest);
          await store.updateTable('devices').set({ secret }).where('name', '=', name).execute();
        }
        const type = 'device.secret' as const;
        await events.recordAll(
          fresh.map(({ name }) => ({ who, type, subject: name })),
          store,
        );
      });
      return { made: fresh.length, kept: asked.length - fresh.length };
    });
  }

  private isThere(name: string, type: string): boolean {
    const there = this.parts.devices.find(name);
    if (!there) return false;
    if (there.tags[simulatedTag] === 'yes' && there.type === type && mayConnect(there.state)) {
      if (!this.parts.devices.online(name)) return true;
      throw new AiotError('AIOT_DEVICE_ONLINE', `another simulation is running ${name}: it is online`);
    }
    const what = there.tags[simulatedTag] === 'yes' ? 'simulated, but' : 'not a simulated device,';
    throw new AiotError(
      'AIOT_ALREADY_EXISTS',
      `${name} is ${what}, has type ${there.type} and is ${there.state}`,
      { subject: 'device', next: 'Choose other names for the simulation: --template "press-####"' },
    );
  }
}
