import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import { onAbort, untilAborted } from '../../core/tasks.js';
import type { Sink, Source } from '../../stream/message.js';
import { openSink } from '../../stream/open.js';
import { openSpool } from '../../stream/spool/spool.js';
import { Lifecycle } from '../lifecycle.js';
import { soleLeader, startWorkers, type Worker } from '../workers.js';
import { controlTopic, dataTopic, type GuideFiles, type Quota } from './files.js';
import {
  atMost,
  ensureTopics,
  follow,
  type KafkaAddress,
  kafkaAddress,
  positionOf,
  sendAll,
  spoolAll,
} from './kafka.js';
import { Ingest } from './readings.js';
import type { GuideParts } from './start.js';

interface RelayOptions {
  dataDir: string;
  /** Number of rows in one file; 0 = another program writes the data to files. */
  maxRows: number;
  /** kafka://…; absent = MQTT only. */
  events: string | undefined;
}

/** How long a start waits for Kafka's topics, ms. After that, the start continues without the topics. */
const patienceMs = 5000;

/** Maximum size of data spooled for Kafka, bytes; beyond this, publishers wait. */
const spoolBytes = 512 * 1024 ** 2;

const ingestName = 'guide ingest';

/**
 * Starts the guide's bridge and ingest: data from MQTT to Kafka and to files, control messages from Kafka to MQTT. Without Kafka, data
 * goes directly to files, and only our own control messages are sent. Acknowledged data is on disk. Resolves once data is accepted, with a
 * function that stops the bridge and the ingest.
 * @throws AIOT_USAGE, AIOT_STREAM_URL, AIOT_SPOOL_BUSY
 */
export async function startRelay(
  options: RelayOptions,
  parts: GuideParts,
  files: GuideFiles,
  quota: Quota,
): Promise<() => Promise<void>> {
  const { engine, broker, blobs, log, now } = parts;
  const { store } = engine;
  const address = options.events === undefined ? null : kafkaAddress(options.events);
  const opened = new Lifecycle();
  const bell = createBell();
  const inTurn = engine.turns.of('guide-ingest');
  const ingest = await Ingest.open({
    ...{ store, blobs, files, quota, inTurn, now, maxRows: options.maxRows },
    onFile: bell.ring,
    onFailed: (err) => log.error({ err }, "could not write a file of the guide's data"),
    onSkipped: (messages) => log.warn({ messages }, 'skipped data of the guide that is not a row'),
  });
  const source = () => broker.streams.openSource(dataTopic, { overflow: 'wait' });
  const publish = (payload: Buffer) => broker.publish({ topic: controlTopic, payload, qos: 0 });
  const common = { ...parts, store, ingest, files, bell };
  const collects = options.maxRows > 0;
  const leading: Worker[] = address
    ? kafkaWorkers({ ...common, address, publish }).filter(({ name }) => collects || name !== ingestName)
    : [{ name: 'guide control', run: (signal) => announceAll({ files, bell, log, say: publish }, signal) }];
  if (address) {
    for (const topic of [dataTopic, controlTopic]) await positionOf(store, topic, now());
    await atMost(patienceMs, ensureTopics(address, AbortSignal.timeout(patienceMs)));
    opened.atEnd(
      await startSending({ ...common, path: join(options.dataDir, 'guide', 'spool'), address, source }),
    );
  } else if (collects) opened.atEnd(await startCollecting(await source(), ingest, parts));
  opened.atEnd(startWorkers(leading, engine.leader, log, 'guide'));
  return () => opened.end();
}

interface Common extends GuideParts {
  store: GuideParts['engine']['store'];
  ingest: Ingest;
  files: GuideFiles;
  bell: ReturnType<typeof createBell>;
  address: KafkaAddress;
}

/** Workers that read from Kafka and announce files there. They run in only one of the platform's processes. */
function kafkaWorkers({
  publish,
  ...own
}: Common & { publish: (payload: Buffer) => Promise<void> }): Worker[] {
  const { address, store, ingest, files, bell, now, log } = own;
  return [
    {
      name: ingestName,
      run: (signal) =>
        follow({ address, name: dataTopic, store, log, now }, signal, (batch, stand) =>
          ingest.add(
            batch.map(({ message }) => ({ payload: message.payload, at: now() })),
            stand,
          ),
        ),
    },
    {
      name: 'guide control',
      run: (signal) =>
        follow({ address, name: controlTopic, store, log, now }, signal, async (batch, stand) => {
          for (const { message } of batch) {
            if (isControl(message.payload)) await publish(Buffer.from(message.payload));
            else
              log.warn({ position: message.position }, 'blocked a control message that would crash boards');
          }
          await stand(store);
        }),
    },
    {
      name: 'guide announcements',
      run: (signal) =>
        announceAll({ files, bell, log, say: sayerTo(address.topic(controlTopic), signal) }, signal),
    },
  ];
}

/** Sends messages of this process's broker to Kafka, through a spool on disk. Runs in every process. */
async function startSending(own: Common & { path: string; source: () => Promise<Source> }) {
  const { path, source: openOwn, address, log } = own;
  const spool = await openSpool({ path, limit: spoolBytes, full: 'wait' });
  const source = await openOwn();
  const more = createBell();
  const spooling = spoolAll(source, spool, log, more.ring);
  const stopSending = startWorkers(
    [
      {
        name: 'guide data',
        run: (signal) =>
          sendAll(
            { url: address.topic(dataTopic), spool, log, more: () => more.wait(signal, 60_000) },
            signal,
          ),
      },
    ],
    soleLeader(),
    log,
    'guide data',
  );
  return async () => {
    await source.close();
    await atMost(2000, spooling);
    await stopSending();
    await spool.close();
  };
}

/** Writes messages to files through the database; used without Kafka. */
async function startCollecting(source: Source, ingest: Ingest, { log, now }: GuideParts) {
  let failing = false;
  const collecting = (async () => {
    for await (const batch of source) {
      try {
        await ingest.add(batch.map(({ message }) => ({ payload: message.payload, at: now() })));
        for (const delivery of batch) delivery.ack();
        failing = false;
      } catch (err) {
        for (const delivery of batch) delivery.nack();
        // Logged once, because anyone may publish and could otherwise fill the log.
        if (!failing) log.error({ err }, 'could not store data of the guide');
        failing = true;
      }
    }
  })();
  return async () => {
    await source.close();
    await collecting;
  };
}

/** Delay before a retry, ms. */
const pauseMs = 2000;

/** Announces each file made by our ingest, in order, including files made by an earlier process. */
async function announceAll(
  {
    files,
    bell,
    log,
    say,
  }: { files: GuideFiles; bell: Bell; log: Logger; say: (message: Buffer) => Promise<void> },
  signal: AbortSignal,
): Promise<void> {
  let failing = false;
  while (!signal.aborted) {
    try {
      for (const file of await files.unannounced()) {
        await say(controlMessage('extract-data', file.name));
        await files.announced(file);
      }
      failing = false;
    } catch (err) {
      if (signal.aborted) return;
      if (!failing) log.warn({ err }, "no peer can be notified of the guide's files at the moment");
      failing = true;
    }
    if (failing) await delay(pauseMs, undefined, { signal }).catch(() => {});
    else await bell.wait(signal, 60_000);
  }
}

/** Publishes on a Kafka topic. The connection stays open until the signal is aborted. */
function sayerTo(url: string, signal: AbortSignal): (message: Buffer) => Promise<void> {
  let sink: Sink | undefined;
  onAbort(signal, () => void sink?.close().catch(() => {}));
  return async (payload) => {
    sink ??= await openSink(url, { connectTimeoutMs: 5000, signal });
    try {
      await untilAborted(sink.write([{ topic: '', payload }]), signal);
    } catch (error) {
      await atMost(500, sink.close());
      sink = undefined;
      throw error;
    }
  };
}

/** Creates a bell that wakes a waiting worker. If none is waiting, the next wait returns immediately. */
function createBell() {
  let rung = false;
  let wake: (() => void) | undefined;
  return {
    ring(): void {
      rung = true;
      wake?.();
    },
    /** Resolves when rung, after `mostMs`, or when the signal is aborted. */
    async wait(signal: AbortSignal, mostMs = 5000): Promise<void> {
      if (!rung && !signal.aborted) {
        const over = new AbortController();
        const timer = delay(mostMs, undefined, { signal: AbortSignal.any([signal, over.signal]) }).catch(
          () => {},
        );
        await Promise.race([timer, new Promise<void>((resolve) => (wake = resolve))]);
        over.abort();
        wake = undefined;
      }
      rung = false;
    },
  };
}

type Bell = ReturnType<typeof createBell>;

/** Longest message that the guide's firmware accepts: its MQTT library drops packets of more than 256 bytes, including the header. */
export const longestControl = 229;

/** Formats a control message like the guide, including the space before the colon. */
export function controlMessage(command: string, payload: string): Buffer {
  return Buffer.from(`{"command": ${JSON.stringify(command)}, "payload" : ${JSON.stringify(payload)}}`);
}

/**
 * Whether boards can process the message without crashing, because they compare `command` with strings without checking
 * that it exists.
 */
export function isControl(payload: Uint8Array): boolean {
  if (payload.length > longestControl) return false;
  try {
    const value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(payload)) as Record<
      string,
      unknown
    > | null;
    return typeof value?.command === 'string' && typeof value.payload === 'string';
  } catch {
    return false;
  }
}
