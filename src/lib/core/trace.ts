import { randomBytes } from 'node:crypto';
import { sha256Hex } from './crypto.js';

/** Identifies a span across programs (W3C Trace Context, level 1). */
export interface TraceContext {
  /** 32 hexadecimal digits. */
  traceId: string;
  /** 16 hexadecimal digits. */
  spanId: string;
  /** Whether the trace is recorded. */
  sampled: boolean;
}

/** Name of the HTTP header, and of the MQTT user property, that carries a context. */
export const traceHeader = 'traceparent';

export type SpanKind = 'internal' | 'server' | 'client' | 'producer' | 'consumer';

export type Attributes = Readonly<Record<string, string | number | boolean | undefined>>;

/** A finished step of a trace. */
export interface SpanData {
  traceId: string;
  spanId: string;
  parentSpanId?: string | undefined;
  name: string;
  kind: SpanKind;
  /** ms since 1970, with fractions. */
  start: number;
  end: number;
  attributes: Attributes;
  /** Points in time within the span. */
  events?: readonly { name: string; at: number }[];
  /** Why the step failed; absent = it did not fail. */
  error?: string | undefined;
}

/** A step of a recorded trace that is in progress. */
export interface Span {
  readonly context: TraceContext;
  /** Ends the span; later calls have no effect. @param error why the step failed */
  end(attributes?: Attributes, error?: string): void;
}

/** Version, trace ID, parent ID and flags. Later versions may append fields (section 3.2). */
const pattern = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;

/** Parses a `traceparent`; null if it is invalid and must be ignored (section 3.2.2.3). */
export function parseTraceparent(text: string): TraceContext | null {
  const [, version, traceId = '', spanId = '', flags = '', rest] = pattern.exec(text.trim()) ?? [];
  if (version === undefined || version === 'ff' || (version === '00' && rest !== undefined)) return null;
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return null;
  return { traceId, spanId, sampled: (Number.parseInt(flags, 16) & 1) === 1 };
}

export function formatTraceparent({ traceId, spanId, sampled }: TraceContext): string {
  return `00-${traceId}-${spanId}-${sampled ? '01' : '00'}`;
}

/** Decides whether a trace is recorded. @param parent the caller's context; null = the trace begins here */
export type Sampler = (traceId: string, parent: TraceContext | null) => boolean;

export const samplerNames = [
  'always_on',
  'always_off',
  'traceidratio',
  'parentbased_always_on',
  'parentbased_always_off',
  'parentbased_traceidratio',
] as const;
export type SamplerName = (typeof samplerNames)[number];

/** @param ratio share of the traces that `traceidratio` records, 0 to 1 */
export function samplerOf(name: SamplerName, ratio: number): Sampler {
  const [base, root] = name.startsWith('parentbased_')
    ? [true, name.slice('parentbased_'.length)]
    : [false, name];
  const decide = (traceId: string) =>
    // These 52 bits of an ID are random (W3C Trace Context, level 2).
    root === 'traceidratio'
      ? Number.parseInt(traceId.slice(-13), 16) < ratio * 2 ** 52
      : root === 'always_on';
  return (traceId, parent) => (base && parent ? parent.sampled : decide(traceId));
}

/** Wall-clock time in ms since 1970, with fractions; monotonic within the process. */
export const preciseNow = (): number => performance.timeOrigin + performance.now();

/** Random bytes for IDs, in advance, because a call for each ID takes several times as long as the rest of a span. */
let pool = Buffer.alloc(0);
let used = 0;

function randomHex(bytes: number): string {
  if (used + bytes > pool.length) {
    pool = randomBytes(4096);
    used = 0;
  }
  used += bytes;
  return pool.toString('hex', used - bytes, used);
}

interface SpanOptions {
  kind?: SpanKind;
  /** The caller's context; null or absent = the trace begins here. */
  parent?: TraceContext | null | undefined;
  /** ms since 1970; default: now */
  start?: number;
}

interface FinishedSpan extends Pick<SpanData, 'name' | 'start' | 'end' | 'attributes' | 'events' | 'error'> {
  context: TraceContext;
  parentSpanId?: string | undefined;
  kind?: SpanKind;
}

/** Creates the spans of this process, and passes those of recorded traces to `finished`. */
export class Tracer {
  /** @param sampler decides about traces that are not recorded yet, and about those of callers */
  constructor(
    private readonly sampler: Sampler,
    private readonly finished: (span: SpanData) => void,
    private readonly now: () => number = preciseNow,
  ) {}

  /** Begins a trace, or continues the caller's trace. Null = the trace is not recorded. */
  begin(name: () => string, { kind = 'internal', parent = null, start }: SpanOptions = {}): Span | null {
    const traceId = parent?.traceId ?? randomHex(16);
    if (!this.sampler(traceId, parent)) return null;
    return this.open(name(), { traceId, parentSpanId: parent?.spanId, kind, start: start ?? this.now() });
  }

  /** Begins a step of a trace that is being recorded. */
  step(name: string, parent: TraceContext, kind: SpanKind = 'internal'): Span {
    const { traceId, spanId: parentSpanId } = parent;
    return this.open(name, { traceId, parentSpanId, kind, start: this.now() });
  }

  /** Records a step whose times are already known. Its trace must be one that is recorded. */
  record({ context, kind = 'internal', ...span }: FinishedSpan): void {
    this.finished({ ...span, kind, traceId: context.traceId, spanId: context.spanId });
  }

  /**
   * Context for work that outlives this process. All replicas derive the same one from a key.
   * @param step key of a step in the trace; absent = the trace's first span
   */
  contextOf(key: string, step = ''): TraceContext {
    const traceId = sha256Hex(key).slice(0, 32);
    const spanId = sha256Hex(`${key}\n${step}`).slice(0, 16);
    return { traceId, spanId, sampled: this.sampler(traceId, null) };
  }

  /** Now, by the clock of the spans. */
  time(): number {
    return this.now();
  }

  private open(
    name: string,
    { traceId, parentSpanId, kind, start }: Pick<SpanData, 'traceId' | 'parentSpanId' | 'kind' | 'start'>,
  ): Span {
    const spanId = randomHex(8);
    let ended = false;
    return {
      context: { traceId, spanId, sampled: true },
      end: (attributes = {}, error) => {
        if (ended) return;
        ended = true;
        const times = { start, end: this.now() };
        this.finished({ traceId, spanId, parentSpanId, name, kind, ...times, attributes, error });
      },
    };
  }
}
