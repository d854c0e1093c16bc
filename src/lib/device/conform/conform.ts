import * as z from 'zod';
import type { RegistryClient } from '../../api/client.js';
import { contextFor, withClient } from '../../api/context.js';
import type { DeviceTwin } from '../../api/contract/devices.js';
import { type ModelId, resolveModel } from '../../api/reference.js';
import { AiotError } from '../../core/errors.js';
import { readText } from '../../core/files.js';
import type { Desired, Reported } from '../protocol/messages.js';
import { type Bench, type Check, createBench, ends, NotHeld, NotLooked } from './bench.js';
import { type ListenOptions, listen } from './listen.js';
import { listenOn, messageChecks, restartChecks, retainedChecks } from './message-checks.js';
import { manifestChecks, updateChecks } from './update-checks.js';
import { commandChecks, wishChecks } from './wish-checks.js';

const checkStates = ['passed', 'failed', 'skipped'] as const;

/** Result of `aiot device conform`: each check has a stable id and the section of docs/reference/protocol.md that it verifies. */
export const conformitySchema = z.object({
  device: z.string(),
  /** Whether no check failed. Skipped checks are not counted. */
  conforms: z.boolean(),
  passed: z.int(),
  failed: z.int(),
  skipped: z.int(),
  seconds: z.number(),
  checks: z.array(
    z.object({
      id: z.string(),
      /** An anchor in docs/reference/protocol.md. */
      section: z.string(),
      /** The behavior that passes the check. */
      rule: z.string(),
      state: z.enum(checkStates),
      /** Reason why the check failed or was skipped. */
      reason: z.string().nullable(),
    }),
  ),
});

export type Conformity = z.output<typeof conformitySchema>;

export interface ConformOptions {
  /** Selector that must match exactly one device. */
  selector: string;
  /** Name of the platform's context; absent = the current one. */
  context?: string | undefined;
  /** A release that the checks install, `NAME@VERSION`; absent = none. */
  model?: string | undefined;
  /** Minimum time to listen for messages that the device sends on its own, ms. */
  forMs: number;
  /** Maximum duration of a restart or an update, ms. */
  patienceMs: number;
  signal?: AbortSignal | undefined;
  /** Called when a check begins; `done` of `total` checks have finished. */
  onCheck?: ((check: { id: string; done: number; total: number }) => void) | undefined;
}

/**
 * Checks an online device that uses protocol v1 against docs/reference/protocol.md, as an operator of its platform. The device's model is
 * not changed unless `model` is given. No retained messages remain, and the desired state is restored.
 * @throws AIOT_NOT_FOUND, AIOT_DEVICE_OFFLINE, AIOT_DEVICE_UPDATING, AIOT_CONTEXT_NOT_FOUND, AIOT_BROKER_REFUSED, AIOT_USAGE
 */
export async function conformDevice(options: ConformOptions): Promise<Conformity> {
  const { signal } = options;
  const context = await contextFor(options.context);
  const ca = context.ca ? await readText(context.ca) : undefined;
  return withClient(context.name, async (client) => {
    const device = await oneDevice(client, options.selector);
    await requireReady(client, device);
    const model = options.model === undefined ? null : await resolveModel(client, options.model);
    const url = context.mqtt ?? (await client.status()).urls.mqtts;
    const broker = { url, ca, username: 'operator', password: context.token, device, signal };
    return conformWith(client, broker, { ...options, device, model });
  });
}

/** Name of the matching device. @throws AIOT_NOT_FOUND, AIOT_USAGE if several match */
async function oneDevice(client: RegistryClient, selector: string): Promise<string> {
  const [first, ...more] = await client.devices.list(selector);
  if (!first) {
    throw new AiotError('AIOT_NOT_FOUND', `no device matches ${selector}`, {
      next: 'To see the devices and their types, run `aiot device list`.',
    });
  }
  if (more.length === 0) return first.name;
  throw new AiotError('AIOT_USAGE', `--selector: expected one device, got ${more.length + 1}: ${selector}`);
}

/** Like `conformDevice`, but with an existing client and the broker's connection options. */
export async function conformWith(
  client: RegistryClient,
  broker: ListenOptions,
  options: Omit<ConformOptions, 'context' | 'selector' | 'model'> & { device: string; model: ModelId | null },
): Promise<Conformity> {
  const { forMs, patienceMs, model, signal } = options;
  const device = await client.devices.get(options.device);
  const twin = await client.devices.state(options.device);
  const startedAt = Date.now();
  const listener = await listen(broker);
  const bench = createBench({ device, twin, client, listener, patienceMs, model, signal });
  const checks: Conformity['checks'] = [];
  const total = activeChecks.length + passiveChecks.length;
  const make = async (check: Check) => {
    options.onCheck?.({ id: check.id, done: checks.length, total });
    checks.push(await checked(check, bench));
  };
  try {
    for (const check of activeChecks) await make(check);
    await listenOn(bench, startedAt, forMs);
    for (const check of passiveChecks) await make(check);
  } finally {
    await putBack(bench);
    await listener.close();
  }
  const count = (state: string) => checks.filter((check) => check.state === state).length;
  const [passed, failed, skipped] = [count('passed'), count('failed'), count('skipped')];
  const seconds = (Date.now() - startedAt) / 1000;
  return { device: device.name, conforms: failed === 0, passed, failed, skipped, seconds, checks };
}

async function checked(check: Check, bench: Bench): Promise<Conformity['checks'][number]> {
  const { id, section, rule } = check;
  const about = { id, section, rule };
  try {
    await check.run(bench);
    return { ...about, state: 'passed', reason: null };
  } catch (error) {
    if (error instanceof NotHeld) return { ...about, state: 'failed', reason: error.message };
    if (error instanceof NotLooked) return { ...about, state: 'skipped', reason: error.message };
    throw error;
  }
}

/** @throws AIOT_NOT_FOUND, AIOT_DEVICE_OFFLINE, AIOT_DEVICE_UPDATING */
async function requireReady(client: RegistryClient, name: string): Promise<void> {
  const device = await client.devices.get(name);
  if (!device.online) {
    throw new AiotError('AIOT_DEVICE_OFFLINE', `${name} is offline`);
  }
  const rollout = unended(await client.devices.state(name));
  if (rollout !== null)
    throw new AiotError(
      'AIOT_DEVICE_UPDATING',
      `${name} is in rollout ${rollout}, which is still in progress`,
    );
}

/** The rollout that the device has not finished yet; null = none. */
function unended({ desired, reported }: DeviceTwin): string | null {
  const { rollout } = (desired ?? {}) as Partial<Desired>;
  if (rollout === undefined) return null;
  const { rollout: told, state, error = null } = (reported ?? {}) as Partial<Reported>;
  const over = told === rollout && (state === 'COMMITTED' || state === 'ROLLED_BACK' || error !== null);
  // If the device has reported a later rollout, this one has ended.
  return over || (told !== undefined && told !== null && told !== rollout) ? null : rollout;
}

/** Sends the desired state once more, so that the device reports on it again. */
async function putBack(bench: Bench): Promise<void> {
  const now = await bench.client.devices.state(bench.device.name).catch(() => bench.twin);
  const desired = now.desired as Desired | null;
  const from = bench.listener.seen.length;
  try {
    await bench.send('desired', desired ?? Buffer.alloc(0));
    if (desired) await bench.listener.next((seen) => ends(seen, desired.rollout), from, 2000);
  } catch {
    // The broker is unreachable. The retained message was never changed, so the device receives it when it reconnects.
  }
}

/** Checks that make the device act, in execution order. */
export const activeChecks: readonly Check[] = [
  ...retainedChecks,
  ...commandChecks,
  ...wishChecks,
  ...manifestChecks,
  ...updateChecks,
  ...restartChecks,
];

/** Checks of the messages that the device sent while the active checks ran. */
export const passiveChecks: readonly Check[] = messageChecks;
