import { randomUUID } from 'node:crypto';
import type { RegistryClient } from '../../registry/client.js';
import type { DeviceInfo } from '../../registry/fields.js';
import type { DeviceTwin } from '../../registry/fleet-api.js';
import type { ModelId } from '../../registry/reference.js';
import { encodeMessage } from '../protocol/codec.js';
import type { Reply } from '../protocol/control.js';
import type { Desired, Reported } from '../protocol/messages.js';
import type { Listener, Seen } from './listen.js';

/** One thing that docs/protocol.md asks of a device. */
export interface Check {
  /** Stays the same from version to version: scripts name it. */
  id: string;
  /** An anchor of docs/protocol.md. */
  section: string;
  /** What a device does that passes. */
  rule: string;
  /** @throws NotHeld, NotLooked */
  run(bench: Bench): Promise<void>;
}

/** The device does not do what the check is about. */
export class NotHeld extends Error {}

/** The check says nothing about this device, or cannot be made here. */
export class NotLooked extends Error {}

/** What a check works with: a device that is connected, and the operator's side of it. */
export interface Bench {
  device: DeviceInfo;
  /** As it was at the start. */
  twin: DeviceTwin;
  client: RegistryClient;
  listener: Listener;
  /** For what takes longer than an answer: a restart, an update, ms. */
  patienceMs: number;
  /** The release that may really be installed; null = none. */
  model: ModelId | null;
  signal: AbortSignal | undefined;
  /** Nothing is retained: what the platform has said stays as it is. */
  send(channel: 'command' | 'desired', payload: object | Buffer): Promise<void>;
  /** Sends a command and waits for its reply. @throws NotHeld when none comes */
  ask(command: string, more?: object): Promise<Reply>;
  /** The next message that fits, of those since `from` (the position that `listener.seen.length` was then). @throws NotHeld */
  hear(what: string, fits: (seen: Seen) => boolean, from: number, withinMs?: number): Promise<Seen>;
  /** A wish of its own rollout, and the report that ends it. @throws NotHeld */
  wish(wish: Partial<Desired>): Promise<Reported>;
}

/** How long an answer may take at most, ms. */
const mostAnswerMs = 5000;

/** Rollouts and commands of a conformance run begin so. */
export const ownPrefix = 'conform-';

type Given = Pick<Bench, 'device' | 'twin' | 'client' | 'listener' | 'patienceMs' | 'model' | 'signal'>;

export function createBench(given: Given): Bench {
  const { listener } = given;
  const answerMs = Math.min(mostAnswerMs, given.patienceMs);
  const hear: Bench['hear'] = async (what, fits, from, withinMs = answerMs) => {
    const found = await listener.next(fits, from, withinMs);
    if (found) return found;
    throw new NotHeld(`expected ${what} within ${withinMs / 1000} s, got none`);
  };
  const send: Bench['send'] = (channel, payload) =>
    listener.publish(channel, Buffer.isBuffer(payload) ? payload : encodeMessage(payload));
  return {
    ...given,
    hear,
    send,
    async ask(command, more = {}) {
      const id = newId();
      const from = listener.seen.length;
      await send('command', { id, command, ...more });
      const reply = await hear(`a reply to ${command}`, (seen) => isReplyTo(seen, id), from);
      return reply.value as Reply;
    },
    async wish(wish) {
      const rollout = wish.rollout ?? newId();
      const from = listener.seen.length;
      await send('desired', wishOf({ ...wish, rollout }));
      const what = `a report that ends rollout ${rollout}`;
      const report = await hear(what, (seen) => ends(seen, rollout), from, given.patienceMs);
      return report.value as Reported;
    },
  };
}

export function newId(): string {
  return `${ownPrefix}${randomUUID().slice(0, 13)}`;
}

/** A wish that nothing can be installed by: its manifest is not there. */
export function wishOf(wish: Partial<Desired>): Desired {
  return {
    rollout: newId(),
    kind: 'model',
    name: 'conform',
    version: 1,
    sequence: Number.MAX_SAFE_INTEGER,
    manifest: '/api/v1/manifests/9007199254740991',
    ...wish,
  };
}

export function isReplyTo(seen: Seen, id: string): boolean {
  return seen.channel === 'reply' && seen.value?.id === id;
}

export function ends({ channel, value }: Seen, rollout: string): boolean {
  if (channel !== 'reported' || value?.rollout !== rollout) return false;
  const { state, error } = value;
  return state === 'COMMITTED' || state === 'ROLLED_BACK' || (state === 'IDLE' && error !== null);
}
