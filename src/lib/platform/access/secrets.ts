import { createHmac, randomBytes, scrypt, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import { sha256Hex } from '../../core/crypto.js';
import { AiotError } from '../../core/errors.js';
import { deviceStep, mayConnect } from '../../fleet/device.js';
import type { Devices } from '../devices/devices.js';
import type { Events, NewEvent } from '../events/events.js';
import type { Store } from '../store/database.js';
import { type Reach, requireInReach } from './reach.js';

const derive = promisify<string, Buffer, number, { N: number; r: number; p: number }, Buffer>(scrypt);

/** Cost of scrypt (RFC 7914): 16 MiB and about 40 ms. A generated secret has 192 random bits; the cost protects secrets chosen by a person. */
const cost = { N: 2 ** 14, r: 8, p: 1 };

const keyBytes = 32;

/** 24 bytes encode to 32 base64 characters; some clients do not accept longer passwords. */
const secretBytes = 24;

/** Number of wrong secrets allowed per minute from one address: for a single device, and for all devices together. */
const mostWrong = { device: 5, address: 20 };

const minuteMs = 60_000;

/** Maximum number of secrets verified concurrently: each takes a thread and 16 MiB. */
const mostAtOnce = 2;

/** Maximum number of secrets that wait for their verification. */
const mostWaiting = 100;

/** Secrets of devices that cannot show a certificate. */
export interface DeviceSecrets {
  /**
   * Creates a secret that replaces the previous one. The secret is returned once and cannot be retrieved later.
   * @param reach devices that the requester's rights are limited to; null = all
   * @throws AIOT_NOT_FOUND, AIOT_DEVICE_STATE, AIOT_NOT_ALLOWED (the device has left the reach)
   */
  make(device: string, who: string, reach?: Reach | null): Promise<string>;
  /** Removes the secret. Returns whether there was one. @throws AIOT_NOT_FOUND, AIOT_NOT_ALLOWED */
  remove(device: string, who: string, reach?: Reach | null): Promise<boolean>;
  /**
   * Whether this is the secret of a device that may connect. Wrong attempts are limited per address. `secure`: whether
   * the secret arrived over TLS. Without TLS, only simulated devices are accepted.
   */
  isRight(device: string, secret: string, address: string, secure: boolean): Promise<boolean>;
}

const simulated = 'simulated$';

/** The stored form of a simulated device's secret: 256 random bits need no scrypt. @param digest SHA-256, hex */
export function simulatedSecret(digest: string): string {
  return `${simulated}${digest}`;
}

interface SecretParts {
  store: Store;
  devices: Devices;
  events: Events;
  now: () => number;
}

export function secretsIn({ store, devices, events, now }: SecretParts): DeviceSecrets {
  /**
   * Cache of verified secrets, so that reconnecting devices need no scrypt. Maps the hash in the database to a MAC of
   * the secret under a key that only this process has.
   */
  const known = new Map<string, Buffer>();
  const key = randomBytes(32);
  const mac = (hash: string, secret: string) =>
    createHmac('sha256', key).update(`${hash}\n${secret}`).digest();
  const wrong = createTally(now);
  const inTurn = createTurns();

  const write = (
    name: string,
    hash: string | null,
    type: NewEvent['type'],
    { who, reach }: { who: string; reach: Reach | null },
  ) =>
    devices.inTurnOf([name], async () => {
      requireInReach(reach, [name]);
      const device = devices.record(name);
      // A registered device may connect once it has its first secret or certificate.
      const first = hash !== null && device.state === 'registered';
      const state = first ? deviceStep(device.state, 'certified') : device.state;
      await devices.update(device, { state }, async (transaction) => {
        await transaction.updateTable('devices').set({ secret: hash }).where('id', '=', device.id).execute();
        await events.record({ type, subject: name, who }, transaction);
      });
    });
  const hashOf = async (device: string) => {
    const row = await store
      .selectFrom('devices')
      .select('secret')
      .where('name', '=', device)
      .executeTakeFirst();
    return row?.secret ?? null;
  };

  return {
    async make(device, who, reach = null) {
      const { state } = devices.record(device);
      if (state === 'revoked') {
        throw new AiotError('AIOT_DEVICE_STATE', `the device ${device} is revoked and cannot get a secret`, {
          next: 'A revoked device cannot be restored. Run `aiot device remove NAME`, then enroll it again.',
        });
      }
      const secret = randomBytes(secretBytes).toString('base64url');
      const salt = randomBytes(16);
      const derived = await derive(secret, salt, keyBytes, cost);
      const hash = `scrypt$${Math.log2(cost.N)}$${cost.r}$${cost.p}$${salt.toString('base64')}$${derived.toString('base64')}`;
      await write(device, hash, 'device.secret', { who, reach });
      return secret;
    },
    async remove(device, who, reach = null) {
      devices.record(device);
      if ((await hashOf(device)) === null) return false;
      await write(device, null, 'device.secret-removed', { who, reach });
      return true;
    },
    async isRight(device, secret, address, secure) {
      const record = devices.find(device);
      const may = record !== null && mayConnect(record.state);
      const hash = may ? await hashOf(device) : null;
      if (hash?.startsWith(simulated))
        return timingSafeEqual(Buffer.from(hash), Buffer.from(simulatedSecret(sha256Hex(secret))));
      if (!secure) return false;
      const isKnown = () => {
        const seen = hash === null ? undefined : known.get(hash);
        return hash !== null && seen !== undefined && timingSafeEqual(seen, mac(hash, secret));
      };
      if (isKnown()) return true;
      const names = { device: `${address} ${device}`, address };
      const hasTriedTooOften = () =>
        wrong.count(names.device) >= mostWrong.device || wrong.count(address) >= mostWrong.address;
      if (hasTriedTooOften()) return false;
      return inTurn(address, async () => {
        // Earlier attempts have been verified by now. Right ones do not count, so that many devices of one address can connect at once.
        if (isKnown()) return true;
        if (hasTriedTooOften()) return false;
        // Counted before verification, so that concurrent attempts count too.
        wrong.add(names.device);
        wrong.add(address);
        if (hash === null || !(await isSecretOf(hash, secret))) return false;
        wrong.take(names.device);
        wrong.take(address);
        known.set(hash, mac(hash, secret));
        if (known.size > 100_000) known.clear();
        return true;
      });
    },
  };
}

async function isSecretOf(hash: string, secret: string): Promise<boolean> {
  const [kind, log2, r, p, salt = '', expected = ''] = hash.split('$');
  if (kind !== 'scrypt') return false;
  const wanted = Buffer.from(expected, 'base64');
  const options = { N: 2 ** Number(log2), r: Number(r), p: Number(p) };
  return timingSafeEqual(await derive(secret, Buffer.from(salt, 'base64'), wanted.length, options), wanted);
}

/** Counts occurrences of each name within a minute. */
function createTally(now: () => number) {
  const tally = new Map<string, { since: number; count: number }>();
  const entry = (name: string) => {
    const found = tally.get(name);
    if (found && Math.abs(now() - found.since) < minuteMs) return found;
    if (tally.size > 10_000) tally.clear();
    const fresh = { since: now(), count: 0 };
    tally.set(name, fresh);
    return fresh;
  };
  return {
    count: (name: string) => entry(name).count,
    add: (name: string) => entry(name).count++,
    take: (name: string) => entry(name).count--,
  };
}

/**
 * Runs at most `mostAtOnce` tasks concurrently. Addresses take turns. If too many tasks are waiting, one of the address with the most of
 * them is rejected, or the new task if its address would then have as many. One address alone can therefore not take all places; an
 * attacker with a hundred addresses can. The result of a rejected task is false.
 */
function createTurns() {
  let running = 0;
  let total = 0;
  /** Waiting tasks by address. The address whose turn is next comes first. */
  const waiting = new Map<string, ((mayRun: boolean) => void)[]>();

  function wait(address: string): Promise<boolean> {
    const own = waiting.get(address) ?? [];
    if (total >= mostWaiting) {
      const [busiest, tasks] = [...waiting].reduce((one, other) =>
        other[1].length > one[1].length ? other : one,
      );
      if (tasks.length <= own.length + 1) return Promise.resolve(false);
      tasks.pop()?.(false);
      if (tasks.length === 0) waiting.delete(busiest);
      total--;
    }
    waiting.set(address, own);
    total++;
    return new Promise((resolve) => own.push(resolve));
  }

  function startNext(): void {
    const [next] = waiting;
    if (!next) {
      running--;
      return;
    }
    const [address, tasks] = next;
    total--;
    const start = tasks.shift();
    waiting.delete(address);
    if (tasks.length > 0) waiting.set(address, tasks);
    start?.(true);
  }

  return async (address: string, task: () => Promise<boolean>): Promise<boolean> => {
    if (running < mostAtOnce) running++;
    else if (!(await wait(address))) return false;
    try {
      return await task();
    } finally {
      startNext();
    }
  };
}

/** Number of rejected credentials of one kind allowed for each address in a window, and the window's length, ms. */
const usual = 20;

const window = 60_000;

/** Maximum number of keys remembered per kind; beyond this, the key that has been idle longest is dropped. */
const mostKeys = 10_000;

/** Failed attempts by key, each within a window that begins with the first. */
export class Budget {
  private readonly seen = new Map<string, { count: number; until: number }>();

  constructor(
    private readonly now: () => number,
    private readonly most: number,
  ) {}

  note(key: string): void {
    const at = this.now();
    const before = this.seen.get(key);
    this.seen.delete(key);
    this.seen.set(
      key,
      before && before.until > at ? { ...before, count: before.count + 1 } : { count: 1, until: at + window },
    );
    if (this.seen.size > mostKeys) this.seen.delete(this.seen.keys().next().value ?? '');
  }

  /** Time to wait, s; 0 = none. */
  wait(key: string): number {
    const found = this.seen.get(key);
    const left = found ? found.until - this.now() : 0;
    return found && found.count >= this.most && left > 0 ? Math.ceil(left / 1000) : 0;
  }
}

/**
 * Limits clients that present wrong credentials too often. Each kind has its own budget, so that a board with a wrong password does not
 * prevent others at the same address from claiming a certificate. Valid tokens are always accepted, because 256 random bits cannot be
 * guessed.
 */
export class Failures {
  /** Failures with tokens over HTTP, by address. */
  readonly http: Budget;
  /** Failures with claim tokens, by address. */
  readonly claims: Budget;
  /** Logins started through the provider, by address. They are counted here because each one costs a request to the provider. */
  readonly logins: Budget;
  private readonly byName: Budget;
  private readonly byAddress: Budget;

  constructor(now: () => number, most = usual) {
    this.http = new Budget(now, most);
    this.claims = new Budget(now, most);
    this.logins = new Budget(now, 5 * most);
    this.byName = new Budget(now, most);
    // Many different names from one address suggest that someone is guessing names.
    this.byAddress = new Budget(now, 5 * most);
  }

  /** Records a wrong password over MQTT. `name` is the device or user name that was presented with the password. */
  noteMqtt(address: string, name: string): void {
    this.byName.note(nameKey(address, name));
    this.byAddress.note(address);
  }

  /** Whether the failure limit is reached, so that another failure is not worth reporting. */
  oftenMqtt(address: string, name: string): boolean {
    return this.byName.wait(nameKey(address, name)) > 0 || this.byAddress.wait(address) > 0;
  }
}

/** Truncates the name, because device and user names never exceed 64 characters, and input from clients without credentials is not stored in full. */
function nameKey(address: string, name: string): string {
  return `${address} ${name.slice(0, 64)}`;
}
