import * as z from 'zod';
import { AiotError } from '../../core/errors.js';
import { readText } from '../../core/files.js';
import type { RegistryClient } from '../../registry/client.js';
import { contextFor, withClient } from '../../registry/context.js';
import type { DeviceTwin } from '../../registry/fleet-api.js';
import { type ModelId, resolveModel } from '../../registry/reference.js';
import type { Desired, Reported } from '../protocol/messages.js';
import { type Bench, type Check, createBench, ends, NotHeld, NotLooked } from './bench.js';
import { type ListenOptions, listen } from './listen.js';
import { listenOn, messageChecks, restartChecks, retainedChecks } from './message-checks.js';
import { manifestChecks, updateChecks } from './update-checks.js';
import { commandChecks, wishChecks } from './wish-checks.js';

const checkStates = ['passed', 'failed', 'skipped'] as const;

/** What `aiot device conform` found: each check by an id that stays, and the section of docs/protocol.md that it holds. */
export const conformitySchema = z.object({
  device: z.string(),
  /** No check failed. What was skipped was not looked at. */
  conforms: z.boolean(),
  passed: z.int(),
  failed: z.int(),
  skipped: z.int(),
  seconds: z.number(),
  checks: z.array(
    z.object({
      id: z.string(),
      /** An anchor of docs/protocol.md. */
      section: z.string(),
      /** What a device does that passes. */
      rule: z.string(),
      state: z.enum(checkStates),
      /** Why it failed or was skipped. */
      reason: z.string().nullable(),
    }),
  ),
});

export type Conformity = z.output<typeof conformitySchema>;

export interface ConformOptions {
  device: string;
  /** Name of the platform's context; the one in use when absent. */
  context?: string | undefined;
  /** A release that is really installed, `NAME@VERSION`; none when absent. */
  model?: string | undefined;
  /** Listens so long at least, for what the device says by itself, ms. */
  forMs: number;
  /** Longest wait for a restart, or for the end of an update, ms. */
  patienceMs: number;
  signal?: AbortSignal | undefined;
  /** A check begins; `done` of `total` are made. */
  onCheck?: ((check: { id: string; done: number; total: number }) => void) | undefined;
}

/**
 * Holds a device to docs/protocol.md, from the operator's side of its platform: whatever speaks protocol v1 and is online. Of what
 * it runs nothing is changed unless `model` says so; nothing stays retained, and what it is to run is what it was.
 * @throws AIOT_NOT_FOUND, AIOT_DEVICE_OFFLINE, AIOT_DEVICE_UPDATING, AIOT_CONTEXT_NOT_FOUND, AIOT_BROKER_REFUSED, AIOT_USAGE
 */
export async function conformDevice(options: ConformOptions): Promise<Conformity> {
  const { device, signal } = options;
  const context = await contextFor(options.context);
  const ca = context.ca ? await readText(context.ca) : undefined;
  return withClient(context.name, async (client) => {
    await requireReady(client, device);
    const model = options.model === undefined ? null : await resolveModel(client, options.model);
    const url = context.mqtt ?? (await client.status()).urls.mqtts;
    const broker = { url, ca, username: 'operator', password: context.token, device, signal };
    return conformWith(client, broker, { ...options, model });
  });
}

/** The same with a client and a broker that are known already. */
export async function conformWith(
  client: RegistryClient,
  broker: ListenOptions,
  options: Omit<ConformOptions, 'context' | 'model'> & { model: ModelId | null },
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
    throw new AiotError('AIOT_DEVICE_OFFLINE', `${name} is not connected to the platform`);
  }
  const rollout = unended(await client.devices.state(name));
  if (rollout !== null)
    throw new AiotError('AIOT_DEVICE_UPDATING', `${name} is in rollout ${rollout}, which has not ended`);
}

/** The rollout that the device has not ended yet, or null. */
function unended({ desired, reported }: DeviceTwin): string | null {
  const { rollout } = (desired ?? {}) as Partial<Desired>;
  if (rollout === undefined) return null;
  const { rollout: told, state, error = null } = (reported ?? {}) as Partial<Reported>;
  const over = told === rollout && (state === 'COMMITTED' || state === 'ROLLED_BACK' || error !== null);
  // Told of another one since: this one was ended before it.
  return over || (told !== undefined && told !== null && told !== rollout) ? null : rollout;
}

/** What it is to run is told once more: then that is what it speaks of again. */
async function putBack(bench: Bench): Promise<void> {
  const now = await bench.client.devices.state(bench.device.name).catch(() => bench.twin);
  const desired = now.desired as Desired | null;
  const from = bench.listener.seen.length;
  try {
    await bench.send('desired', desired ?? Buffer.alloc(0));
    if (desired) await bench.listener.next((seen) => ends(seen, desired.rollout), from, 2000);
  } catch {
    // The broker is gone: whoever connects next is told by what it has retained, which was never changed.
  }
}

/** Those that make the device do something, in the order in which they are made. */
export const activeChecks: readonly Check[] = [
  ...retainedChecks,
  ...commandChecks,
  ...wishChecks,
  ...manifestChecks,
  ...updateChecks,
  ...restartChecks,
];

/** Those that look at what was heard meanwhile. */
export const passiveChecks: readonly Check[] = messageChecks;
