import { randomUUID } from 'node:crypto';
import type { RegistryClient } from '../../api/client.js';
import type { DeviceTwin } from '../../api/contract/devices.js';
import type { DeviceInfo } from '../../api/fields.js';
import type { ModelId } from '../../api/reference.js';
import { encodeMessage } from '../protocol/codec.js';
import type { Reply } from '../protocol/control.js';
import type { Desired, Reported } from '../protocol/messages.js';
import type { Listener, Seen } from './listen.js';

/** One requirement that docs/reference/protocol.md places on a device. */
export interface Check {
  /** Stable across versions, because scripts refer to the id. */
  id: string;
  /** An anchor in docs/reference/protocol.md. */
  section: string;
  /** The behavior that passes the check. */
  rule: string;
  /** @throws NotHeld, NotLooked */
  run(bench: Bench): Promise<void>;
}

/** The device violates the rule of the check. */
export class NotHeld extends Error {}

/** The check does not apply to this device, or cannot be run here. */
export class NotLooked extends Error {}

/** Environment of a check: an online device, and an operator's access to it. */
export interface Bench {
  device: DeviceInfo;
  /** The device's twin when the conformance run started. */
  twin: DeviceTwin;
  client: RegistryClient;
  listener: Listener;
  /** Timeout for operations that take longer than a reply, such as a restart or an update, ms. */
  patienceMs: number;
  /** A release that may be installed; null = none. */
  model: ModelId | null;
  signal: AbortSignal | undefined;
  /** Sends a message without the retain flag, so that the platform's retained messages stay unchanged. */
  send(channel: 'command' | 'desired', payload: object | Buffer): Promise<void>;
  /** Sends a command and waits for its reply. @throws NotHeld if no reply arrives */
  ask(command: string, more?: object): Promise<Reply>;
  /** The next matching message since `from` (an earlier value of `listener.seen.length`). @throws NotHeld */
  hear(what: string, fits: (seen: Seen) => boolean, from: number, withinMs?: number): Promise<Seen>;
  /**
   * Sends a desired release under a separate rollout id. Returns the report that ends that rollout.
   * @throws NotHeld
   */
  wish(wish: Partial<Desired>): Promise<Reported>;
}

/** Maximum time for a reply, ms. */
const mostAnswerMs = 5000;

/** Prefix of the rollouts and commands of a conformance run. */
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

/** A desired release that cannot be installed, because its manifest does not exist. */
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
