import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import type { Agent } from 'undici';
import { backOffMs, withJitter } from './back-off.js';
import { systemCode } from './errors.js';
import { httpAgent } from './http-agent.js';
import { type LogRecord, logsRequest, metricsRequest, type Resource, tracesRequest } from './otlp-json.js';
import type { OtlpOptions, OtlpSignal, OtlpTarget } from './otlp-options.js';
import type { MetricFamily } from './prometheus.js';
import { deferred } from './tasks.js';
import type { SpanData } from './trace.js';

/** Outcomes of the spans, of the log records, or of the samples of metrics. */
export interface OtlpFigures {
  sent: number;
  /** Number that did not fit into the queue. */
  dropped: number;
  /** Number that the collector rejected, or that it did not accept in several attempts. */
  failed: number;
  waiting: number;
}

interface Options extends OtlpOptions {
  version: string;
  /** Collects the metrics. */
  metrics: () => Promise<readonly MetricFamily[]>;
  /** Start of the counters, ms since 1970. */
  started: number;
  /** Called when the collector becomes unreachable (with the reason), and when it accepts telemetry again (null). */
  onState?: (trouble: string | null) => void;
  /** Delay before the first retry, ms; default 1000. */
  retryMs?: number;
}

/** Attempts for one request, and the longest delay between them, ms. */
const [mostAttempts, longestRetryMs] = [5, 30_000];
/** Time to send what is waiting at the end, ms. */
const endMs = 2000;
/** Bytes of a response that are read. */
const mostAnswer = 64 * 1024;
/** Status codes after which a request may be repeated (OTLP 1.9, "Retryable Response Codes"). */
const retryable = new Set([429, 502, 503, 504]);

/**
 * Sends spans, logs and metrics to a collector, with OTLP over HTTP in JSON. Adding an item takes no time that depends on the collector: at
 * most `queue.size` items wait for each signal, and further ones are dropped and counted.
 */
export class OtlpExporter {
  private readonly traces: Queue<SpanData> | null;
  private readonly logs: Queue<LogRecord> | null;
  private readonly metrics: OtlpFigures | null;
  /** Aborted when the exporter closes, and when its time for closing is over. */
  private readonly closing = new AbortController();
  private readonly ending = new AbortController();
  private readonly running: Promise<unknown>[] = [];
  private readonly resource: Resource;
  private agent: Promise<Agent> | undefined;
  private reason: string | null = null;

  constructor(private readonly options: Options) {
    const { targets, queue, version, resource } = options;
    this.resource = { version, attributes: { ...resource, 'service.version': version } };
    this.traces = targets.traces ? new Queue(queue) : null;
    this.logs = targets.logs ? new Queue(queue) : null;
    this.metrics = targets.metrics ? { sent: 0, dropped: 0, failed: 0, waiting: 0 } : null;
  }

  /** Starts to send. */
  start(): void {
    const { traces, logs, metrics } = this;
    if (traces) this.running.push(this.sendAll('traces', traces, tracesRequest));
    if (logs) this.running.push(this.sendAll('logs', logs, logsRequest));
    if (metrics) this.running.push(this.sendMetrics(metrics));
  }

  span(span: SpanData): void {
    this.traces?.add(span);
  }

  log(record: LogRecord): void {
    this.logs?.add(record);
  }

  /** Why the collector does not accept telemetry; null = it does, or nothing was sent yet. */
  trouble(): string | null {
    return this.reason;
  }

  figures(): Partial<Record<OtlpSignal, OtlpFigures>> {
    const { traces, logs, metrics } = this;
    return {
      ...(traces && { traces: traces.figures() }),
      ...(metrics && { metrics: { ...metrics } }),
      ...(logs && { logs: logs.figures() }),
    };
  }

  /** Sends the waiting items, within two seconds. */
  async close(): Promise<void> {
    const limit = setTimeout(() => this.ending.abort(), endMs);
    this.traces?.end();
    this.logs?.end();
    this.closing.abort();
    await Promise.all(this.running);
    clearTimeout(limit);
    await (await this.agent)?.destroy().catch(() => {});
  }

  private async sendAll<Item>(
    signal: OtlpSignal,
    queue: Queue<Item>,
    encode: (resource: Resource, items: readonly Item[]) => object,
  ): Promise<void> {
    for (;;) {
      const items = await queue.next();
      if (items.length === 0) return;
      const rejected = await this.send(signal, encode(this.resource, items), items.length);
      queue.sent(items.length - rejected, rejected);
    }
  }

  private async sendMetrics(figures: OtlpFigures): Promise<void> {
    const { metricsMs, metrics, started } = this.options;
    for (let isLast = false; !isLast; ) {
      isLast = await pause(metricsMs, this.closing.signal);
      // Metrics that could not be collected are missing once; their counters are cumulative.
      const families = await metrics().catch(() => []);
      const count = families.reduce((sum, { samples }) => sum + samples.length, 0);
      if (count === 0) continue;
      const request = metricsRequest(this.resource, families, { start: started, now: Date.now() });
      const rejected = await this.send('metrics', request, count);
      figures.sent += count - rejected;
      figures.failed += rejected;
    }
  }

  /** Sends a request, several times if necessary. Returns the number of its items that the collector did not accept. Never throws. */
  private async send(signal: OtlpSignal, request: object, items: number): Promise<number> {
    const target = this.options.targets[signal];
    const { gzip: isZipped, retryMs = 1000 } = this.options;
    if (!target) return items;
    const text = JSON.stringify(request);
    const body = isZipped ? await promisify(gzip)(text) : text;
    for (let attempt = 1; ; attempt++) {
      const outcome = await this.post(target, body).catch((error: unknown) => ({
        ...{ rejected: items, mayRetry: true, waitMs: 0 },
        reason: reasonOf(error),
      }));
      this.note(outcome.reason === null ? null : `${target.url.origin} ${outcome.reason}`);
      if (outcome.reason === null) return Math.min(items, outcome.rejected);
      if (!outcome.mayRetry || attempt === mostAttempts || this.ending.signal.aborted) return items;
      const wait = Math.max(outcome.waitMs, withJitter(backOffMs(attempt, retryMs, longestRetryMs)));
      // At the end, a collector that does not answer is not tried again.
      if (await pause(Math.min(wait, longestRetryMs), this.closing.signal)) return items;
    }
  }

  private async post({ url, headers, timeoutMs }: OtlpTarget, body: string | Buffer): Promise<Outcome> {
    const { request } = await import('undici');
    const { tls, gzip: isZipped } = this.options;
    this.agent ??= httpAgent({ connect: { ...tls, timeout: timeoutMs }, pipelining: 1 });
    const answer = await request(url, {
      ...{ method: 'POST', body, dispatcher: await this.agent },
      headers: {
        ...headers,
        'content-type': 'application/json',
        ...(isZipped && { 'content-encoding': 'gzip' }),
        'user-agent': `aiot/${this.resource.version}`,
      },
      signal: AbortSignal.any([this.ending.signal, AbortSignal.timeout(timeoutMs)]),
      ...{ headersTimeout: timeoutMs, bodyTimeout: timeoutMs },
    });
    const text = await textOf(answer.body as AsyncIterable<Buffer>);
    const { statusCode } = answer;
    if (statusCode >= 200 && statusCode < 300)
      return { rejected: rejectedIn(text), reason: null, mayRetry: false, waitMs: 0 };
    const seconds = Number(answer.headers['retry-after'] ?? 0);
    return {
      ...{ rejected: 0, reason: `responded with ${statusCode}`, mayRetry: retryable.has(statusCode) },
      waitMs: Number.isFinite(seconds) ? seconds * 1000 : 0,
    };
  }

  private note(reason: string | null): void {
    const before = this.reason;
    this.reason = reason;
    if ((before === null) !== (reason === null)) this.options.onState?.(reason);
  }
}

interface Outcome {
  /** Number of items that an accepted request had in vain. */
  rejected: number;
  /** Null = the request was accepted. */
  reason: string | null;
  mayRetry: boolean;
  /** Delay that the collector asks for, ms. */
  waitMs: number;
}

/** Items that wait to be sent together. */
class Queue<Item> {
  private items: Item[] = [];
  private readonly counts = { sent: 0, dropped: 0, failed: 0 };
  private wake: (() => void) | undefined;
  private ended = false;

  constructor(private readonly limits: OtlpOptions['queue']) {}

  add(item: Item): void {
    const { size, batch } = this.limits;
    if (this.ended || this.items.length >= size) {
      this.counts.dropped++;
      return;
    }
    this.items.push(item);
    if (this.items.length >= batch) this.wake?.();
  }

  /** Resolves with a full batch, or with what is waiting after `delayMs`. Empty: the queue has ended. */
  async next(): Promise<Item[]> {
    const { batch, delayMs } = this.limits;
    while (!this.ended && this.items.length < batch) {
      const { promise, resolve } = deferred<void>();
      this.wake = resolve;
      const isWoken = await within(delayMs, promise);
      this.wake = undefined;
      if (!isWoken && this.items.length > 0) break;
    }
    return this.items.splice(0, batch);
  }

  sent(sent: number, failed: number): void {
    this.counts.sent += sent;
    this.counts.failed += failed;
  }

  figures(): OtlpFigures {
    return { ...this.counts, waiting: this.items.length };
  }

  end(): void {
    this.ended = true;
    this.wake?.();
  }
}

/** Resolves with whether the signal was aborted during the pause. */
function pause(ms: number, signal: AbortSignal): Promise<boolean> {
  return delay(ms, false, { signal, ref: false }).catch(() => true);
}

/** Resolves with whether `event` happened within the time. The timer does not keep the process running. */
async function within(ms: number, event: Promise<void>): Promise<boolean> {
  const { promise, resolve } = deferred<boolean>();
  const timer = setTimeout(() => resolve(false), ms);
  timer.unref();
  void event.then(() => resolve(true));
  const happened = await promise;
  clearTimeout(timer);
  return happened;
}

async function textOf(body: AsyncIterable<Buffer>): Promise<string> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of body) {
    bytes += part.length;
    if (bytes > mostAnswer) break;
    parts.push(part);
  }
  return Buffer.concat(parts).toString();
}

/** Number of items that the collector rejected from an accepted request (`partialSuccess`). */
function rejectedIn(text: string): number {
  try {
    const { partialSuccess = {} } = JSON.parse(text) as { partialSuccess?: Record<string, unknown> };
    const { rejectedSpans, rejectedDataPoints, rejectedLogRecords } = partialSuccess;
    const count = Number(rejectedSpans ?? rejectedDataPoints ?? rejectedLogRecords ?? 0);
    return count > 0 ? count : 0;
  } catch {
    return 0;
  }
}

function reasonOf(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const isLate = error instanceof Error && /Timeout/.test(error.name);
  if (isLate) return 'did not respond in time';
  return `is unreachable (${systemCode(cause) ?? systemCode(error) ?? 'unknown error'})`;
}
