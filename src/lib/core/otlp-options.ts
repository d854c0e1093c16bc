import { errorMaker } from './errors.js';
import { readText } from './files.js';
import { type SamplerName, samplerNames } from './trace.js';

export const otlpSignals = ['traces', 'metrics', 'logs'] as const;
export type OtlpSignal = (typeof otlpSignals)[number];

/** Where one signal is sent. */
export interface OtlpTarget {
  url: URL;
  headers: Readonly<Record<string, string>>;
  timeoutMs: number;
}

/** How telemetry is sent to a collector, as the environment variables of OpenTelemetry set it. */
export interface OtlpOptions {
  /** Absent = the signal is not sent. */
  targets: Readonly<Partial<Record<OtlpSignal, OtlpTarget>>>;
  resource: Readonly<Record<string, string>>;
  gzip: boolean;
  /** PEM of the collector's CA, and of the client's certificate and key. */
  tls: { ca?: string; cert?: string; key?: string };
  sampler: SamplerName;
  ratio: number;
  /** Whether the user has chosen the sampler. */
  isSamplerGiven: boolean;
  /** Number of spans and of log records that wait at most, that one request has at most, and how long they wait at most, ms. */
  queue: { size: number; batch: number; delayMs: number };
  metricsMs: number;
}

type Environment = Readonly<Record<string, string | undefined>>;

const wrong = errorMaker('AIOT_USAGE', '', {
  next: 'Correct it, or set OTEL_SDK_DISABLED=true to send nothing.',
});

/**
 * Options from the standard variables (opentelemetry.io, "Environment Variable Specification"); null = no endpoint is set, so nothing is sent.
 * An empty variable counts as unset.
 * @param endpoint replaces OTEL_EXPORTER_OTLP_ENDPOINT
 * @throws AIOT_USAGE, AIOT_FILE_NOT_FOUND
 */
export async function otlpOptionsOf(
  endpoint: string | undefined,
  environment: Environment,
): Promise<OtlpOptions | null> {
  const given = (name: string) => environment[name]?.trim() || undefined;
  if (given('OTEL_SDK_DISABLED')?.toLowerCase() === 'true') return null;
  const common = endpoint ?? given('OTEL_EXPORTER_OTLP_ENDPOINT');
  const targets = Object.fromEntries(
    otlpSignals.flatMap((signal) => {
      const target = targetOf(signal, common, given);
      return target ? [[signal, target]] : [];
    }),
  );
  if (Object.keys(targets).length === 0) return null;
  const compression = given('OTEL_EXPORTER_OTLP_COMPRESSION') ?? 'none';
  if (compression !== 'none' && compression !== 'gzip')
    throw wrong(`OTEL_EXPORTER_OTLP_COMPRESSION: expected none or gzip, got "${compression}"`);
  const size = numberIn(given, 'OTEL_BSP_MAX_QUEUE_SIZE', { usual: 2048, least: 1, most: 1_000_000 });
  return {
    targets,
    resource: resourceOf(given),
    gzip: compression === 'gzip',
    tls: await tlsOf(given),
    ...samplingOf(given),
    queue: {
      size,
      batch: Math.min(
        size,
        numberIn(given, 'OTEL_BSP_MAX_EXPORT_BATCH_SIZE', { usual: 512, least: 1, most: 10_000 }),
      ),
      delayMs: numberIn(given, 'OTEL_BSP_SCHEDULE_DELAY', { usual: 5000, least: 10, most: 3_600_000 }),
    },
    metricsMs: numberIn(given, 'OTEL_METRIC_EXPORT_INTERVAL', { usual: 60_000, least: 100, most: 3_600_000 }),
  };
}

type Given = (name: string) => string | undefined;

function targetOf(signal: OtlpSignal, common: string | undefined, given: Given): OtlpTarget | null {
  const upper = signal.toUpperCase();
  const exporter = given(`OTEL_${upper}_EXPORTER`) ?? 'otlp';
  if (exporter === 'none') return null;
  if (exporter !== 'otlp') throw wrong(`OTEL_${upper}_EXPORTER: expected otlp or none, got "${exporter}"`);
  const own = given(`OTEL_EXPORTER_OTLP_${upper}_ENDPOINT`);
  const base = own ?? common;
  if (base === undefined) return null;
  const protocolName =
    given(`OTEL_EXPORTER_OTLP_${upper}_PROTOCOL`) ?? given('OTEL_EXPORTER_OTLP_PROTOCOL') ?? 'http/json';
  if (protocolName !== 'http/json')
    throw wrong(`OTEL_EXPORTER_OTLP_PROTOCOL: expected http/json, got "${protocolName}"`);
  const url = otlpUrl(base, own === undefined ? 'the collector' : `OTEL_EXPORTER_OTLP_${upper}_ENDPOINT`);
  if (own === undefined) url.pathname = `${url.pathname.replace(/\/$/, '')}/v1/${signal}`;
  const specific = `OTEL_EXPORTER_OTLP_${upper}_TIMEOUT`;
  const timeout = given(specific) === undefined ? 'OTEL_EXPORTER_OTLP_TIMEOUT' : specific;
  return {
    url,
    headers: {
      ...headersIn('OTEL_EXPORTER_OTLP_HEADERS', given),
      ...headersIn(`OTEL_EXPORTER_OTLP_${upper}_HEADERS`, given),
    },
    timeoutMs: numberIn(given, timeout, { usual: 10_000, least: 1, most: 600_000 }),
  };
}

/** Address of a collector. @param about the setting, for errors @throws AIOT_USAGE */
export function otlpUrl(text: string, about: string): URL {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (!url || !/^https?:$/.test(url.protocol))
    throw wrong(`${about}: expected a URL such as http://localhost:4318`);
  if (url.username !== '' || url.password !== '')
    throw wrong(`${about}: expected a URL without credentials`, {
      next: "Put the collector's credentials into OTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer%20TOKEN.",
    });
  return url;
}

/** `NAME=VALUE,…` with percent-encoded values, which may be secrets, so errors do not show them. */
function headersIn(name: string, given: Given): Record<string, string> {
  return Object.fromEntries(pairsIn(given(name), name).map(([key, value]) => [key.toLowerCase(), value]));
}

function resourceOf(given: Given): Record<string, string> {
  const name = 'OTEL_RESOURCE_ATTRIBUTES';
  const all = Object.fromEntries(pairsIn(given(name), name));
  return { ...all, 'service.name': given('OTEL_SERVICE_NAME') ?? all['service.name'] ?? 'aiot' };
}

function pairsIn(text: string | undefined, name: string): [string, string][] {
  const parts = text?.split(',').map((part) => part.trim());
  return (parts ?? [])
    .filter((part) => part !== '')
    .map((part) => {
      const at = part.indexOf('=');
      const key = part.slice(0, at).trim();
      if (at <= 0 || !/^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/.test(key))
        throw wrong(`${name}: expected NAME=VALUE, separated by commas`);
      return [key, decoded(part.slice(at + 1).trim(), name)];
    });
}

function decoded(text: string, name: string): string {
  try {
    return decodeURIComponent(text);
  } catch (cause) {
    throw wrong(`${name}: a value is not percent-encoded correctly`, { cause });
  }
}

function samplingOf(given: Given): Pick<OtlpOptions, 'sampler' | 'ratio' | 'isSamplerGiven'> {
  const chosen = given('OTEL_TRACES_SAMPLER');
  const name = chosen ?? 'parentbased_always_on';
  const sampler = samplerNames.find((known) => known === name);
  if (!sampler) throw wrong(`OTEL_TRACES_SAMPLER: expected one of ${samplerNames.join(', ')}, got "${name}"`);
  const text = given('OTEL_TRACES_SAMPLER_ARG') ?? '1';
  const ratio = Number(text);
  if (!(ratio >= 0 && ratio <= 1))
    throw wrong(`OTEL_TRACES_SAMPLER_ARG: expected a number from 0 to 1, got "${text}"`);
  return { sampler, ratio, isSamplerGiven: chosen !== undefined };
}

async function tlsOf(given: Given): Promise<OtlpOptions['tls']> {
  const files = {
    ca: given('OTEL_EXPORTER_OTLP_CERTIFICATE'),
    cert: given('OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE'),
    key: given('OTEL_EXPORTER_OTLP_CLIENT_KEY'),
  };
  const tls: OtlpOptions['tls'] = {};
  for (const name of ['ca', 'cert', 'key'] as const) {
    const file = files[name];
    if (file !== undefined) tls[name] = await readText(file);
  }
  return tls;
}

function numberIn(
  given: Given,
  name: string,
  { usual, least, most }: { usual: number; least: number; most: number },
): number {
  const text = given(name);
  if (text === undefined) return usual;
  const value = Number(text);
  if (Number.isInteger(value) && value >= least && value <= most) return value;
  throw wrong(`${name}: expected a whole number from ${least} to ${most}, got "${text}"`);
}
