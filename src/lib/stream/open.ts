import { type PlatformContext, readContexts } from '../core/contexts.js';
import { AiotError, hasCode } from '../core/errors.js';
import { readText } from '../core/files.js';
import { didYouMean } from '../core/text.js';
import type { StreamAdmin } from './broker/admin.js';
import { saysWho, withKeptCredentials } from './credentials.js';
import type { Sink, Source, StreamOptions } from './message.js';
import { parseStreamUrl, type StreamUrl } from './url.js';

interface Adapter {
  source?: (url: StreamUrl, options: StreamOptions) => Promise<Source>;
  sink?: (url: StreamUrl, options: StreamOptions) => Promise<Sink>;
  admin?: (url: StreamUrl, options: StreamOptions) => Promise<StreamAdmin>;
}

const mqtt: Adapter = {
  source: async (url, options) =>
    (await import('./mqtt/source.js')).openMqttSource(url, await knownBroker(url, options)),
  sink: async (url, options) =>
    (await import('./mqtt/sink.js')).openMqttSink(url, await knownBroker(url, options)),
  admin: async (url, options) =>
    (await import('./mqtt/admin.js')).openMqttAdmin(url, await knownBroker(url, options)),
};

const nats: Adapter = {
  source: async (url, options) => (await import('./nats/source.js')).openNatsSource(url, options),
  sink: async (url, options) => (await import('./nats/sink.js')).openNatsSink(url, options),
  admin: async (url, options) => (await import('./nats/admin.js')).openNatsAdmin(url, options),
};

const kafka: Adapter = {
  source: async (url, options) => (await import('./kafka/source.js')).openKafkaSource(url, options),
  sink: async (url, options) => (await import('./kafka/sink.js')).openKafkaSink(url, options),
  admin: async (url, options) => (await import('./kafka/admin.js')).openKafkaAdmin(url, options),
};

const http: Adapter = {
  source: async (url, options) => (await import('./http/source.js')).openHttpSource(url, options),
  sink: async (url, options) => (await import('./http/sink.js')).openHttpSink(url, options),
};

const redis: Adapter = {
  sink: async (url, options) => (await import('./redis/sink.js')).openRedisSink(url, options),
  admin: async (url, options) => (await import('./redis/admin.js')).openRedisAdmin(url, options),
};

/** Its broker is `mqtt:` or, for `sparkplugs:`, `mqtts:`. Without a host, it is the platform's. */
const sparkplug: Adapter = {
  source: async (url, options) =>
    (await import('./sparkplug/source.js')).openSparkplugSource(
      url,
      ...(await sparkplugBroker(url, options)),
    ),
  sink: async (url, options) =>
    (await import('./sparkplug/sink.js')).openSparkplugSink(url, ...(await sparkplugBroker(url, options))),
};

/** Adapters by scheme. No other table lists the schemes. */
const adapters: Record<string, Adapter> = {
  aiot: {
    source: async (url, options) => mqtt.source!(...(await platformBroker(url, options))),
    sink: async (url, options) => {
      if (url.host !== 'dataset') return mqtt.sink!(...(await platformBroker(url, options)));
      const { openDatasetSink } = await import('./file/dataset.js');
      return openDatasetSink(url, async (broker) =>
        mqtt.sink!(...(await platformBroker({ ...broker, host: '' }, options))),
      );
    },
    admin: async (url, options) => mqtt.admin!(...(await platformBroker(url, options))),
  },
  camera: {
    source: async (url, options) => (await import('./camera/source.js')).openCameraSource(url, options),
  },
  exec: {
    sink: async (url, options) => (await import('./outbound/exec.js')).openExecSink(url, options),
  },
  file: {
    source: async (url) => (await import('./file/source.js')).openFileSource(url),
    sink: async (url) => (await import('./file/sink.js')).openFileSink(url),
  },
  gpio: {
    sink: async (url) => (await import('./outbound/gpio.js')).openGpioSink(url),
  },
  http,
  https: http,
  i2c: {
    source: async (url, options) => (await import('./i2c-source.js')).openI2cSource(url, options),
  },
  kafka,
  kafkas: kafka,
  mqtt,
  mqtts: mqtt,
  nats,
  natss: nats,
  pictures: {
    source: async (url) => (await import('./camera/pictures.js')).openPicturesSource(url),
  },
  redis,
  rediss: redis,
  s3: {
    source: async (url, options) => (await import('./s3/source.js')).openS3Source(url, options),
    sink: async (url, options) => (await import('./s3/sink.js')).openS3Sink(url, options),
    admin: async (url, options) => (await import('./s3/admin.js')).openS3Admin(url, options),
  },
  serial: {
    source: async (url, options) => (await import('./serial/source.js')).openSerialSource(url, options),
    sink: async (url, options) => (await import('./serial/sink.js')).openSerialSink(url, options),
  },
  sparkplug,
  sparkplugs: sparkplug,
  stdin: {
    source: async (url, options) => (await import('./file/source.js')).openStdinSource(url, options),
  },
  tcp: {
    sink: async (url, options) =>
      (await import('./outbound/tcp.js')).openTcpSink(url, options, (to) => openSink(to)),
  },
  telegram: {
    sink: async (url, options) => (await import('./outbound/telegram.js')).openTelegramSink(url, options),
  },
  ws: mqtt,
  wss: mqtt,
};

/** @throws AIOT_STREAM_SCHEME, AIOT_STREAM_URL, and the adapter's errors if the peer is unreachable */
export async function openSource(url: string, options: StreamOptions = {}): Promise<Source> {
  const parts = parseStreamUrl(url);
  const open = adapterFor(parts, 'source');
  return open(parts, await withKeptCredentials(parts, options));
}

/** @throws AIOT_STREAM_SCHEME, AIOT_STREAM_URL, and the adapter's errors if the peer is unreachable */
export async function openSink(url: string, options: StreamOptions = {}): Promise<Sink> {
  const parts = parseStreamUrl(url);
  const open = adapterFor(parts, 'sink');
  return open(parts, await withKeptCredentials(parts, options));
}

/** @throws AIOT_STREAM_SCHEME, AIOT_STREAM_URL, and the adapter's errors if the peer is unreachable */
export async function openAdmin(url: string, options: StreamOptions = {}): Promise<StreamAdmin> {
  const parts = parseStreamUrl(url);
  const open = adapterFor(parts, 'admin');
  return open(parts, await withKeptCredentials(parts, options));
}

/** Rejects an address that cannot be read or written, before anything is opened. @throws AIOT_STREAM_SCHEME */
export function requireScheme(url: StreamUrl, side: 'source' | 'sink'): void {
  adapterFor(url, side);
}

function adapterFor<Side extends 'source' | 'sink' | 'admin'>(
  url: StreamUrl,
  side: Side,
): NonNullable<Adapter[Side]> {
  const open = Object.hasOwn(adapters, url.scheme) ? adapters[url.scheme]?.[side] : undefined;
  if (open) return open;
  const known = Object.keys(adapters).filter((scheme) => adapters[scheme]?.[side]);
  const use = { source: 'read from', sink: 'written to', admin: 'inspected' }[side];
  throw new AiotError(
    'AIOT_STREAM_SCHEME',
    `${url.scheme}: cannot be ${use}${didYouMean(url.scheme, known)}`,
    {
      next: `Use one of ${known.map((scheme) => `${scheme}:`).join(', ')}.`,
    },
  );
}

/**
 * Resolves `aiot://[CONTEXT]/topic` to a platform's broker, with its CA, and its token as the password. `aiot://stream` is the broker of
 * the current context.
 * @throws AIOT_CONTEXT_NOT_FOUND
 */
export async function platformBroker(
  url: StreamUrl,
  options: StreamOptions,
): Promise<[StreamUrl, StreamOptions]> {
  const { contextFor } = await import('../api/context.js');
  const named = !['', 'stream'].includes(url.host);
  const context = await contextFor(named ? url.host : options.context).catch((error) => {
    if (!named || !hasCode(error, 'AIOT_CONTEXT_NOT_FOUND')) throw error;
    const topic = [url.host, url.path].filter(Boolean).join('/');
    throw new AiotError('AIOT_CONTEXT_NOT_FOUND', error.message, {
      next: `For the topic ${topic} on the current platform, write aiot:///${topic} with three slashes. To list the contexts, run \`aiot context list\`.`,
      cause: error,
    });
  });
  if (!context.mqtt) {
    throw new AiotError('AIOT_CONTEXT_NOT_FOUND', `context ${context.name} has no broker address`, {
      next: 'Add it with `aiot context add NAME --url URL --mqtt URL --replace`.',
    });
  }
  const { path, query } = url;
  return [{ ...parseStreamUrl(context.mqtt), path, query }, await credentialsOf(context, options)];
}

/** The MQTT address of a Sparkplug broker, with the credentials stored for that address. @throws AIOT_CONTEXT_NOT_FOUND */
async function sparkplugBroker(url: StreamUrl, options: StreamOptions): Promise<[StreamUrl, StreamOptions]> {
  if (url.host === '') return platformBroker(url, options);
  const scheme = url.scheme === 'sparkplugs' ? 'mqtts' : 'mqtt';
  const broker = { ...url, scheme, endpoint: `${scheme}://${url.host}` };
  return [broker, await knownBroker(broker, await withKeptCredentials(broker, options))];
}

/**
 * Options for a broker's own URL. If they contain no credentials, the credentials of the context that uses this broker
 * are added.
 */
async function knownBroker(url: StreamUrl, options: StreamOptions): Promise<StreamOptions> {
  if (saysWho(url, options)) return options;
  const { contexts } = await readContexts();
  const own = Object.values(contexts).find(({ mqtt, plain }) =>
    [mqtt, plain].some((known) => known !== undefined && parseStreamUrl(known).endpoint === url.endpoint),
  );
  return own ? credentialsOf(own, options) : options;
}

async function credentialsOf(context: PlatformContext, options: StreamOptions): Promise<StreamOptions> {
  const ca = context.ca && !options.ca ? await readText(context.ca) : options.ca;
  return {
    ...options,
    ...(ca ? { ca } : {}),
    ...(context.token && !options.password ? { username: 'operator', password: context.token } : {}),
  };
}
