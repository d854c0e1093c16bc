import type { OutgoingMessage } from '../message.js';
import { dataType, type Metric, namespace, rebirthMetric, type SparkplugCodec, typed } from './payload.js';

/** A value for a metric; `unit` is sent with births. */
export interface MetricValue {
  value: unknown;
  /** Data type; absent = as the value's, which null does not have. */
  type?: number;
  unit?: string;
}

interface KnownMetric {
  alias: string;
  type: number;
  unit: string | undefined;
  value: unknown;
  time: number;
}

type Told = OutgoingMessage & { qos: 0 | 1; retain: false };

/** Births and data are sent at QoS 0, deaths as the will at QoS 1, and none is retained (sections 5 and 6). */
const told = (topic: string, payload: Uint8Array, qos: 0 | 1 = 0): Told => ({
  topic,
  payload,
  qos,
  retain: false,
});

/**
 * The messages of a Sparkplug edge node, in the order in which they must be sent. It sends nothing itself. Each connection is a session:
 * call `will` before it, and `births` after it. A birth names all metrics with their types, so a new metric causes a new birth.
 */
export class EdgeNode {
  private readonly own = new Map<string, KnownMetric>();
  private readonly devices = new Map<string, Map<string, KnownMetric>>();
  /** Devices whose birth was sent in this session. */
  private readonly born = new Set<string>();
  private session = -1;
  private seq = 0;
  private nextAlias = 1;
  private isBorn = false;

  constructor(
    private readonly parts: {
      codec: SparkplugCodec;
      group: string;
      node: string;
      /** Whether data contains a number in place of each metric's name. */
      aliases: boolean;
      /** ms since 1970 */
      now: () => number;
    },
  ) {}

  get group(): string {
    return this.parts.group;
  }

  get name(): string {
    return this.parts.node;
  }

  /** Filter of the commands to this node. */
  get commands(): string {
    return this.topic('NCMD');
  }

  /** Begins a session, and returns its will, whose number distinguishes it from an earlier session's. */
  will(): Told {
    this.session = (this.session + 1) % 256;
    this.isBorn = false;
    return this.death();
  }

  /** The message that declares the node and its devices offline. */
  death(): Told {
    const { codec, now } = this.parts;
    return told(this.topic('NDEATH'), codec.encode({ time: now(), metrics: [this.sessionMetric()] }), 1);
  }

  /** All births, at the start of a session and when a host requests them. */
  births(): Told[] {
    this.isBorn = true;
    this.seq = 0;
    const time = this.parts.now();
    const metrics = [
      this.sessionMetric(),
      { name: rebirthMetric, type: dataType.boolean, time, value: false },
      ...this.birthMetrics(this.own),
    ];
    const births = [this.message('NBIRTH', null, metrics)];
    this.born.clear();
    for (const device of this.devices.keys()) births.push(this.birth(device));
    return births;
  }

  /**
   * Takes new values, and returns the messages that report them: data, or a birth for a new device or metric. Returns nothing outside a
   * session; the next births contain the values.
   * @param device null = the node itself
   */
  update(device: string | null, values: ReadonlyMap<string, MetricValue>, time = this.parts.now()): Told[] {
    const known = device === null ? this.own : this.metricsOf(device);
    let needsBirth = device !== null && !this.born.has(device);
    const changed: Metric[] = [];
    for (const [name, { value, unit, type: declared }] of values) {
      const before = known.get(name);
      // Null has no type of its own.
      const { type, value: sent } =
        value === null ? { type: declared ?? before?.type ?? dataType.string, value } : typed(value);
      const isSame = before !== undefined && before.type === type && before.unit === unit;
      const alias = before?.alias ?? String(this.nextAlias++);
      if (!isSame) needsBirth = true;
      known.set(name, { alias, type, unit, value: sent, time });
      changed.push({ ...this.nameOf(name, alias), type, time, value: sent });
    }
    if (!this.isBorn) return [];
    if (!needsBirth) return [this.message(device === null ? 'NDATA' : 'DDATA', device, changed)];
    return device === null ? this.births() : [this.birth(device)];
  }

  /** Declares a device offline, and forgets it. */
  remove(device: string): Told[] {
    if (!this.devices.delete(device)) return [];
    const wasBorn = this.born.delete(device);
    return wasBorn && this.isBorn ? [this.message('DDEATH', device, [])] : [];
  }

  /** The births that a command requests; none for other commands, and for damaged ones. */
  answer(payload: Uint8Array): Told[] {
    if (!this.isBorn) return [];
    let metrics: Metric[];
    try {
      ({ metrics } = this.parts.codec.decode(payload));
    } catch {
      return [];
    }
    const isAsked = metrics.some(({ name, value }) => name === rebirthMetric && value === true);
    return isAsked ? this.births() : [];
  }

  private metricsOf(device: string): Map<string, KnownMetric> {
    const known = this.devices.get(device) ?? new Map<string, KnownMetric>();
    this.devices.set(device, known);
    return known;
  }

  private birth(device: string): Told {
    this.born.add(device);
    return this.message('DBIRTH', device, this.birthMetrics(this.metricsOf(device)));
  }

  private birthMetrics(known: ReadonlyMap<string, KnownMetric>): Metric[] {
    return [...known].map(([name, { alias, type, unit, value, time }]) => ({
      ...{ name, type, time, value },
      ...(this.parts.aliases ? { alias } : {}),
      ...(unit === undefined ? {} : { unit }),
    }));
  }

  /** Data contains either the name or the alias. */
  private nameOf(name: string, alias: string): Pick<Metric, 'name' | 'alias'> {
    return this.parts.aliases ? { alias } : { name };
  }

  private sessionMetric(): Metric {
    return { name: 'bdSeq', type: dataType.int64, time: this.parts.now(), value: this.session };
  }

  private message(type: string, device: string | null, metrics: Metric[]): Told {
    const { codec, now } = this.parts;
    const seq = this.seq;
    this.seq = (seq + 1) % 256;
    return told(this.topic(type, device), codec.encode({ time: now(), seq, metrics }));
  }

  private topic(type: string, device: string | null = null): string {
    const { group, node } = this.parts;
    return `${namespace}/${group}/${type}/${node}${device === null ? '' : `/${device}`}`;
  }
}
