import type { JetStreamManager, StreamConfig } from 'nats';
import { AiotError, formatDuration } from '../../../core/index.js';
import type { ConsumerSpec, CreateResult, TopicSpec } from '../../admin.js';
import type { NatsClient } from '../connect.js';
import { natsError } from '../errors.js';
import { apiCode, consumerMissing, managerOf, streamMissing } from '../stream.js';
import { checkFilter } from '../subject.js';

const millisecond = 1e6;

/** What a spec sets of a stream; what it leaves open is left as it is, or to the server. */
function wanted(spec: TopicSpec, endpoint: string): Partial<StreamConfig> {
  const subjects = (spec.subjects ?? [spec.name]).map((subject) => checkFilter(subject, endpoint));
  const settings = {
    name: spec.name,
    subjects,
    storage: spec.storage,
    retention: spec.retention,
    discard: spec.discard,
    num_replicas: spec.replicas,
    max_age: spec.maxAgeMs === undefined ? undefined : spec.maxAgeMs * millisecond,
    max_bytes: spec.maxBytes,
    max_msgs: spec.maxMessages,
    duplicate_window: spec.duplicateWindowMs === undefined ? undefined : spec.duplicateWindowMs * millisecond,
  };
  const given = Object.entries(settings).filter(([, value]) => value !== undefined);
  return Object.fromEntries(given) as Partial<StreamConfig>;
}

/** Makes a stream with its consumers, or changes what may be changed of it. @throws AIOT_BROKER_REFUSED, AIOT_STREAM_URL */
export async function createStream(
  client: NatsClient,
  spec: TopicSpec,
  dryRun: boolean,
  endpoint: string,
): Promise<CreateResult> {
  refuseForeign(spec, endpoint);
  const manager = await managerOf(client, endpoint);
  const want = wanted(spec, endpoint);
  const refused = (error: unknown) => {
    throw natsError(error, endpoint, `stream ${spec.name}`);
  };
  const found = await unlessMissing(manager.streams.info(spec.name), streamMissing).catch(refused);
  const changes = found ? differences(found.config, want) : [];
  if (!dryRun && !found) await manager.streams.add(want).catch(refused);
  if (!dryRun && found && changes.length > 0) {
    await manager.streams.update(spec.name, { ...found.config, ...want }).catch(refused);
  }
  for (const consumer of spec.consumers ?? []) {
    const made = await createConsumer(
      client,
      manager,
      spec.name,
      consumer,
      dryRun,
      found !== undefined,
    ).catch(refused);
    if (made) changes.push(`consumer ${consumer.name} made`);
  }
  const did = found === undefined ? 'created' : changes.length > 0 ? 'changed' : 'unchanged';
  return { name: spec.name, did, changes };
}

/** True where it was not there. */
async function createConsumer(
  { nats }: NatsClient,
  manager: JetStreamManager,
  stream: string,
  { name, subject, ackWaitMs, maxAckPending }: ConsumerSpec,
  dryRun: boolean,
  ask: boolean,
): Promise<boolean> {
  if (ask && (await unlessMissing(manager.consumers.info(stream, name), consumerMissing))) return false;
  if (dryRun) return true;
  await manager.consumers.add(stream, {
    durable_name: name,
    ack_policy: nats.AckPolicy.Explicit,
    deliver_policy: nats.DeliverPolicy.All,
    ...(subject === undefined ? {} : { filter_subject: subject }),
    ...(ackWaitMs === undefined ? {} : { ack_wait: ackWaitMs * millisecond }),
    ...(maxAckPending === undefined ? {} : { max_ack_pending: maxAckPending }),
  });
  return true;
}

function refuseForeign(spec: TopicSpec, endpoint: string): void {
  const foreign = (['partitions', 'config'] as const).filter((name) => spec[name] !== undefined);
  if (foreign.length === 0) return;
  throw new AiotError(
    'AIOT_STREAM_SPEC_INVALID',
    `${spec.name}: ${endpoint} is NATS, and has no ${foreign.join(' and ')}`,
  );
}

async function unlessMissing<T>(asked: Promise<T>, missing: number): Promise<T | undefined> {
  try {
    return await asked;
  } catch (error) {
    if (apiCode(error) === missing) return undefined;
    throw error;
  }
}

/** What would change, for people. */
function differences(now: StreamConfig, want: Partial<StreamConfig>): string[] {
  return (Object.keys(want) as (keyof StreamConfig)[])
    .filter((name) => JSON.stringify(now[name]) !== JSON.stringify(want[name]))
    .map((name) => `${name} ${shown(name, now[name])} → ${shown(name, want[name])}`);
}

function shown(name: string, value: unknown): string {
  if (Array.isArray(value)) return value.join(', ');
  const span = name === 'max_age' || name === 'duplicate_window';
  return span && typeof value === 'number' && value > 0 ? formatDuration(value / millisecond) : String(value);
}
