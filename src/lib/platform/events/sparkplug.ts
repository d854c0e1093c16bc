import type { Logger } from 'pino';
import type { IntegrationApplied } from '../../api/contract/settings.js';
import { AiotError } from '../../core/errors.js';
import { onAbort } from '../../core/tasks.js';
import type { Inference } from '../../device/protocol/messages.js';
import type { HomeState } from '../../fleet/home-assistant.js';
import { parseSelector } from '../../fleet/selector.js';
import { metricsOf, type Sparkplug, sparkplugSchema } from '../../fleet/sparkplug.js';
import { withKeptCredentials } from '../../stream/credentials.js';
import { deliveriesOf, type StreamOptions } from '../../stream/message.js';
import { connectEdgeNode } from '../../stream/sparkplug/connection.js';
import { EdgeNode, type MetricValue } from '../../stream/sparkplug/edge-node.js';
import { dataType, sparkplugCodec } from '../../stream/sparkplug/payload.js';
import { parseStreamUrl, shownUrl } from '../../stream/url.js';
import type { Broker } from '../broker/broker.js';
import type { DeviceRecord, Devices } from '../devices/devices.js';
import type { Entry } from '../journal/entry.js';
import { fieldsOf } from '../journal/takes.js';
import type { Telemetry } from '../journal/telemetry.js';
import type { Models } from '../releases/models.js';
import type { Store } from '../store/database.js';
import type { Worker } from '../workers.js';
import { withVariables } from './alarm-messages.js';
import type { Events } from './events.js';
import { Answers, repeat, summaryOf, together } from './home-assistant.js';
import { untilDone } from './outbox.js';

interface Parts {
  store: Store;
  events: Events;
  devices: Devices;
  telemetry: Pick<Telemetry, 'reader'>;
  models: Pick<Models, 'get'>;
  broker: Pick<Broker, 'streams' | 'external'>;
  log: Logger;
  /** ms since 1970 */
  now: () => number;
  env?: NodeJS.ProcessEnv;
}

/** Key of the stored definition. */
const storedKey = 'sparkplug';
const pauses = { firstPauseMs: 500, longestPauseMs: 30_000 };

/** Publishes devices as a Sparkplug edge node, on the platform's broker or another one. */
export class SparkplugService {
  constructor(private readonly parts: Parts) {}

  /** Sets the edge node that a project defines; null = none. @throws AIOT_ALREADY_EXISTS (another project), AIOT_SELECTOR_INVALID */
  async apply(
    { project, definition }: { project: string; definition: Sparkplug | null },
    who: string,
  ): Promise<IntegrationApplied> {
    const { store, events, now } = this.parts;
    if (definition) parseSelector(definition.selector, now());
    return store.transaction().execute(async (transaction) => {
      const old = await storedIn(transaction);
      const isOther = old !== null && old.project !== project;
      if (isOther && definition)
        throw new AiotError(
          'AIOT_ALREADY_EXISTS',
          `the project ${old.project} already defines the edge node`,
          {
            next: 'Remove integrations.sparkplug from one of the two projects.',
          },
        );
      const broker = definition && (definition.broker === null ? 'own' : shownUrl(definition.broker));
      const isSame = isOther || JSON.stringify(old) === JSON.stringify(definition);
      const change = isSame ? 'unchanged' : old === null ? 'created' : definition ? 'changed' : 'removed';
      const result = { project, change, broker } as const;
      if (isSame) return result;
      await transaction.deleteFrom('meta').where('key', '=', storedKey).execute();
      const value = JSON.stringify(definition);
      if (definition) await transaction.insertInto('meta').values({ key: storedKey, value }).execute();
      const data = { change, broker };
      await events.record({ who, type: 'sparkplug.apply', subject: project, data }, transaction);
      return result;
    });
  }

  worker(): Worker {
    return { name: 'sparkplug', run: (signal) => this.run(signal) };
  }

  /** A failure must not affect the platform's readiness, because the other broker is not part of the platform. */
  private async run(signal: AbortSignal): Promise<void> {
    const warn = (err: unknown) =>
      void this.parts.log.warn({ err }, 'could not publish devices by Sparkplug');
    await repeat(signal, () => untilDone(() => this.serve(signal), signal, pauses, warn));
  }

  /** Works until the definition changes, or the signal is aborted. */
  private async serve(signal: AbortSignal): Promise<void> {
    const { store } = this.parts;
    const stored = await storedIn(store);
    if (stored === null) return;
    const ending = new AbortController();
    const stop = onAbort(signal, () => ending.abort());
    const watch = repeat(ending.signal, async () => {
      if (JSON.stringify(await storedIn(store)) !== JSON.stringify(stored)) ending.abort();
    });
    const work = new Publisher(this.parts, stored).run(ending.signal);
    await together([watch, work], ending).finally(stop);
  }
}

async function storedIn(store: Store): Promise<Sparkplug | null> {
  const row = await store.selectFrom('meta').select('value').where('key', '=', storedKey).executeTakeFirst();
  return row ? sparkplugSchema.parse(JSON.parse(row.value)) : null;
}

/** A connection to the broker. */
interface Link {
  /** Resolves when the messages are on their way. They are lost without a connection; births follow when there is one again. */
  send(messages: ReturnType<EdgeNode['births']>): Promise<void>;
  /** Answers commands until the signal is aborted; absent = the connection does so itself. */
  follow?(): Promise<void>;
  close(): Promise<void>;
}

/** The state of a device that is online at the edge node. */
interface Shown {
  /** Values by metric, as last sent. */
  sent: Map<string, number | string | null>;
  /** Time from which values may be sent, ms of `performance.now`. */
  due: number;
}

/** Publishes one definition. */
class Publisher {
  private readonly latest = new Map<string, HomeState>();
  private readonly shown = new Map<string, Shown>();
  private selected: ReadonlySet<string> = new Set();
  private readonly fields: ReadonlySet<string>;
  private readonly answers: Answers;

  constructor(
    private readonly parts: Parts,
    private readonly definition: Sparkplug,
  ) {
    this.fields = new Set(definition.fields.map(({ field }) => field));
    this.answers = new Answers(parts.models);
  }

  async run(signal: AbortSignal): Promise<void> {
    const { group, node: name, aliases, broker } = this.definition;
    const { now } = this.parts;
    const node = new EdgeNode({ codec: await sparkplugCodec(), group, node: name, aliases, now });
    const ending = new AbortController();
    const stop = onAbort(signal, () => ending.abort());
    const { signal: ended } = ending;
    const link = await this.open(node, broker, ended);
    try {
      const work = [
        repeat(ended, () => this.update(node, link)),
        this.follow(ended),
        link.follow?.() ?? Promise.resolve(),
      ];
      await together(work, ending);
    } finally {
      stop();
      await link.close();
    }
  }

  /** Sends the births, deaths and changes since the last call. */
  private async update(node: EdgeNode, link: Link): Promise<void> {
    const { devices } = this.parts;
    const { selector, everyMs } = this.definition;
    const records: DeviceRecord[] = [];
    await devices.visit((device) => {
      if (isShown(device)) records.push(device);
    }, selector);
    this.selected = new Set(records.map(({ name }) => name));
    for (const name of this.latest.keys()) if (!this.selected.has(name)) this.latest.delete(name);
    const online = records.filter(({ name }) => devices.online(name));
    const names = new Set(online.map(({ name }) => name));
    for (const name of this.shown.keys()) {
      if (names.has(name)) continue;
      this.shown.delete(name);
      await link.send(node.remove(name));
    }
    for (const { name, reported } of online) {
      const before = this.shown.get(name);
      if (before && performance.now() < before.due) continue;
      const answer = reported?.model ? await this.answers.of(reported.model) : null;
      const state = this.latest.get(name) ?? { values: {}, inference: null };
      const metrics = metricsOf(state, { answer, reported }, this.definition);
      const sent = new Map(before?.sent);
      const changed = new Map<string, MetricValue>();
      for (const [metric, { value, kind, unit }] of metrics) {
        if (sent.has(metric) && sent.get(metric) === value) continue;
        sent.set(metric, value);
        const type = kind === 'number' ? dataType.double : dataType.string;
        changed.set(metric, { value, type, ...(unit === undefined ? {} : { unit }) });
      }
      if (before && changed.size === 0) continue;
      this.shown.set(name, { sent, due: performance.now() + everyMs });
      await link.send(node.update(name, changed));
    }
  }

  /** Remembers the newest values of each device. */
  private async follow(signal: AbortSignal): Promise<void> {
    const { reader } = this.parts.telemetry;
    for await (const batch of reader.from(await reader.end(), signal))
      for (const { entry } of batch) if (this.selected.has(entry.device)) this.take(entry);
  }

  private take({ device, channel, stream, payload }: Entry): void {
    const before = this.latest.get(device) ?? { values: {}, inference: null };
    if (channel === 'inference')
      this.latest.set(device, { ...before, inference: summaryOf(payload as unknown as Inference) });
    if (channel !== 'telemetry' || stream !== this.definition.stream) return;
    const values = { ...before.values };
    for (const [field, column] of fieldsOf(payload)) {
      const value = column.at(-1);
      if (this.fields.has(field) && value !== undefined && Number.isFinite(value)) values[field] = value;
    }
    this.latest.set(device, { ...before, values });
  }

  private async open(node: EdgeNode, given: string | null, signal: AbortSignal): Promise<Link> {
    const { broker, env = process.env } = this.parts;
    if (given !== null) return this.openOutside(node, withVariables(given, env), signal);
    const { external } = broker;
    if (external === null) return this.openOwn(node, signal);
    return this.openOutside(node, external, signal, await withKeptCredentials(parseStreamUrl(external), {}));
  }

  private async openOwn(node: EdgeNode, signal: AbortSignal): Promise<Link> {
    const { streams } = this.parts.broker;
    const source = await streams.openSource(node.commands, { overflow: 'wait' });
    const sink = await streams.openSink(node.commands, { qos: 0 });
    let last = Promise.resolve();
    // A reader in this process may delay a message, and the next one must not overtake it.
    const send: Link['send'] = (messages) => {
      const sent = last.then(async () => {
        for (const message of messages) await sink.write([message]);
      });
      last = sent.catch(() => {});
      return sent;
    };
    const follow = async () => {
      const stop = onAbort(signal, () => void source.close());
      for await (const delivery of deliveriesOf(source)) {
        await send(node.answer(delivery.message.payload));
        delivery.ack();
      }
      stop();
    };
    // This broker ends together with the node, which therefore needs no will, only its number.
    node.will();
    await send(node.births());
    return {
      send,
      follow,
      async close() {
        await source.close();
        await send([node.death()]).catch(() => {});
        await sink.close();
      },
    };
  }

  /** @param address with credentials, unless `options` contain them */
  private async openOutside(
    node: EdgeNode,
    address: string,
    signal: AbortSignal,
    { ca, cert, key, username, password }: StreamOptions = {},
  ): Promise<Link> {
    const options = { ca, cert, key, username, password, signal };
    const { client, send, close } = await connectEdgeNode(node, address, options);
    client.on('close', () => {
      if (signal.aborted) return;
      this.parts.log.warn({ broker: shownUrl(address) }, 'lost the connection to the Sparkplug broker');
    });
    return { send: async (messages) => send(messages), close };
  }
}

/** A suspended device cannot be online. */
function isShown({ state }: DeviceRecord): boolean {
  return state === 'provisioned' || state === 'active';
}
