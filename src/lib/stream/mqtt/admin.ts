import { randomBytes } from 'node:crypto';
import { AiotError } from '../../core/errors.js';
import { onAbort } from '../../core/tasks.js';
import type { CheckResult, StreamAdmin, TopicState } from '../broker/admin.js';
import type { OutgoingMessage, Sink, Source, StreamOptions } from '../message.js';
import type { StreamUrl } from '../url.js';
import { connectStream, disconnectBroker, mqttSettings } from './connect.js';
import { createOutbox } from './outbox.js';
import { openMqttSink } from './sink.js';
import { openMqttSource } from './source.js';

/**
 * Information about an MQTT broker. A broker has no list of topics, so topics are collected by listening: retained
 * messages arrive immediately, others when they are published. Each operation opens its own connection, so that `check`
 * can report a failure to connect.
 */
export async function openMqttAdmin(url: StreamUrl, options: StreamOptions): Promise<StreamAdmin> {
  const { endpoint } = url;
  return {
    endpoint,
    topics: ({ listenMs, signal }) => heard(url, { ...options, signal }, listenMs),
    check: ({ signal }) => checkBroker(url, { ...options, signal }),
    async close() {},
  };
}

/** Topics of the messages that arrived while listening. @throws the errors of opening the source */
async function heard(url: StreamUrl, options: StreamOptions, listenMs: number): Promise<TopicState[]> {
  const source = await openMqttSource(url, { ...options, qos: 0, queue: 50_000 });
  const topics = new Map<string, { live: number; bytes: number; last: number }>();
  const end = () => void source.close();
  const timer = setTimeout(end, listenMs);
  const leave = onAbort(options.signal, end);
  try {
    for await (const batch of source) {
      for (const { message } of batch) {
        const state = topics.get(message.topic) ?? { live: 0, bytes: 0, last: message.time };
        // A retained message was published before listening began, so it does not count toward the rate.
        if (!message.retain) {
          state.live++;
          state.bytes += message.payload.length;
          state.last = message.time;
        }
        topics.set(message.topic, state);
      }
    }
  } finally {
    clearTimeout(timer);
    leave();
    await source.close();
  }
  const seconds = listenMs / 1000;
  return [...topics]
    .map(([topic, { live, bytes, last }]) => ({
      topic,
      rate: live / seconds,
      byteRate: bytes / seconds,
      ...(live > 0 ? { last } : {}),
    }))
    .sort((a, b) => (a.topic < b.topic ? -1 : 1));
}

/** How long to wait for an expected message, ms. */
const waitMs = 3000;

interface Trial {
  what: string;
  /** Resolves to the result's text; `undefined` = not supported. */
  run(): Promise<string | undefined>;
}

/**
 * Tests a broker's capabilities on a separate topic below the URL's topic (or `aiot/check/…`), and leaves nothing
 * behind. Never throws: failures are in the results, and tests that depend on them are skipped.
 */
async function checkBroker(url: StreamUrl, options: StreamOptions): Promise<CheckResult[]> {
  const version = await triedConnect(url, options);
  const results = [...version.results];
  if (version.results.some(({ state }) => state === 'failed')) return results;
  for (const trial of trialsOf(url, options, version.mqtt5)) {
    options.signal?.throwIfAborted();
    results.push(await tried(trial));
  }
  return results;
}

async function tried({ what, run }: Trial): Promise<CheckResult> {
  try {
    const detail = await run();
    return detail === undefined
      ? { what, state: 'no', detail: 'the test message was not received' }
      : { what, state: 'ok', detail };
  } catch (error) {
    return { what, state: 'failed', detail: textOf(error) };
  }
}

function textOf(error: unknown): string {
  if (!(error instanceof AiotError)) return error instanceof Error ? error.message : String(error);
  return error.next ? `${error.message}. ${error.next}` : error.message;
}

/** Connects, and reads the broker's description of itself. */
async function triedConnect(url: StreamUrl, options: StreamOptions) {
  const settings = mqttSettings({ ...url, query: queryOf(url) }, options);
  const started = Date.now();
  try {
    const client = await connectStream(url, options, settings, createOutbox(url.endpoint));
    const said = client.serverProperties;
    const version = client.options.protocolVersion ?? 4;
    await disconnectBroker(client);
    const name = { 3: '3.1', 4: '3.1.1', 5: '5' }[version as 3 | 4 | 5];
    const limits = [
      said?.receiveMaximum !== undefined && `accepts ${said.receiveMaximum} unacknowledged messages at once`,
      said?.maximumPacketSize !== undefined && `packets up to ${said.maximumPacketSize} bytes`,
      said?.maximumQoS !== undefined && `QoS up to ${said.maximumQoS}`,
      said?.retainAvailable === false && 'no retained messages',
    ].filter((text) => text !== false);
    const results: CheckResult[] = [
      { what: 'connects', state: 'ok', detail: `MQTT ${name}, ${Date.now() - started} ms` },
      ...(limits.length > 0 ? [{ what: 'limits', state: 'ok' as const, detail: limits.join(', ') }] : []),
    ];
    return { mqtt5: version === 5, results };
  } catch (error) {
    const results: CheckResult[] = [{ what: 'connects', state: 'failed', detail: textOf(error) }];
    return { mqtt5: false, results };
  }
}

/** Every test uses the URL's MQTT version and WebSocket path; other settings depend on the test. */
function queryOf({ query }: StreamUrl): Record<string, string> {
  return Object.fromEntries(Object.entries(query).filter(([name]) => ['version', 'path'].includes(name)));
}

function trialsOf(url: StreamUrl, options: StreamOptions, mqtt5: boolean): Trial[] {
  const id = randomBytes(4).toString('hex');
  const base = url.path === '' || /[+#]/.test(url.path) ? 'aiot/check' : url.path;
  const topic = `${base}/${id}`;
  const at = (path: string, query: Record<string, string> = {}): StreamUrl => ({
    ...url,
    path,
    query: { ...queryOf(url), ...query },
  });
  const read = (path: string, query?: Record<string, string>) => openMqttSource(at(path, query), options);
  const there = async (message: Partial<OutgoingMessage>, qos: 0 | 1 | 2, filter = topic) => {
    const source = await read(filter, { qos: String(qos) });
    const sink = await openMqttSink(at(topic), options);
    return within([source, sink], async () => {
      const started = performance.now();
      await sink.write([{ topic, payload: Buffer.from(id), qos, ...message }]);
      const back = await first(source, topic);
      return back && { message: back, took: `${(performance.now() - started).toFixed(1)} ms round trip` };
    });
  };
  return [
    ...([0, 1, 2] as const).map((qos) => ({
      what: `QoS ${qos}`,
      run: async () => {
        const back = await there({}, qos);
        return back && (back.message.qos === qos ? back.took : `arrives at QoS ${back.message.qos}`);
      },
    })),
    {
      what: 'wildcards',
      run: async () => (await there({}, 1, `${base}/+`)) && `${base}/+`,
    },
    {
      what: 'retained',
      run: () => retained(at, topic, options),
    },
    {
      what: 'sessions',
      run: () => session(at, topic, id, options),
    },
    {
      what: 'shared',
      run: async () => (await there({}, 1, `$share/aiot-${id}/${topic}`)) && '$share/GROUP/FILTER',
    },
    {
      what: 'headers',
      run: async () => {
        if (!mqtt5) return undefined;
        const back = await there({ headers: [['aiot', id]] }, 1);
        return back?.message.headers?.some(([name, value]) => name === 'aiot' && value === id)
          ? 'MQTT 5 user properties'
          : undefined;
      },
    },
  ];
}

type At = (path: string, query?: Record<string, string>) => StreamUrl;

async function retained(at: At, topic: string, options: StreamOptions): Promise<string | undefined> {
  const sink = await openMqttSink(at(topic), options);
  return within([sink], async () => {
    await sink.write([{ topic, payload: Buffer.from('kept'), retain: true }]);
    const source = await openMqttSource(at(topic), options);
    const back = await within([source], () => first(source, topic));
    // An empty message deletes the retained one (MQTT 3.1.1, section 3.3.1.3).
    await sink.write([{ topic, payload: Buffer.alloc(0), retain: true }]);
    return back?.retain ? 'stored for later subscribers' : undefined;
  });
}

async function session(
  at: At,
  topic: string,
  id: string,
  options: StreamOptions,
): Promise<string | undefined> {
  const query = { clientId: `aiot-check-${id}`, clean: 'false', qos: '1' };
  await (await openMqttSource(at(topic, query), options)).close();
  const sink = await openMqttSink(at(topic), options);
  const back = await within([sink], async () => {
    await sink.write([{ topic, payload: Buffer.from('meanwhile') }]);
    const again = await openMqttSource(at(topic, query), options);
    return within([again], () => first(again, topic));
  });
  // A clean session with the same client ID deletes the session that the broker has stored.
  await (await openMqttSource(at(topic, { clientId: query.clientId }), options)).close();
  return back && 'messages are queued for an offline client';
}

async function within<T>(open: (Source | Sink)[], act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } finally {
    for (const one of open) await one.close();
  }
}

/** The first message on the topic within `waitMs`; undefined if there is none. */
async function first(source: Source, topic: string) {
  const timer = setTimeout(() => void source.close(), waitMs);
  try {
    for await (const batch of source) {
      for (const { message, ack } of batch) {
        ack();
        if (message.topic === topic && message.payload.length > 0) return message;
      }
    }
  } finally {
    clearTimeout(timer);
  }
  return undefined;
}
