import { AiotError } from '../../core/errors.js';
import { readText } from '../../core/files.js';
import { contextFor, withClient } from '../../registry/context.js';
import { createGuideClient } from '../../registry/guide/client.js';
import { motorSensor } from '../telemetry/sensor.js';
import { type GuideServices, type SimulateGuideOptions, simulateGuideBoard } from './simulate.js';

export interface GuideBoardOptions
  extends Pick<SimulateGuideOptions, 'id' | 'role' | 'count' | 'forMs' | 'signal' | 'onEvent'> {
  /** Of a platform with --compat architects-guide, or of an installation of the guide; the one in use when absent. */
  context?: string | undefined;
  /** The broker, where it is not the one that the platform tells of. */
  to?: string | undefined;
  motor?: Parameters<typeof motorSensor>[0]['state'] | undefined;
  /** Readings a second; default one. */
  rateHz?: number | undefined;
  seed: number;
  /** The firmware's core as a program of its own, instead of the board in this process. */
  native?: boolean;
  /** That program, where it is not aiot's own. */
  program?: string | undefined;
  /** The native program is being built, which takes a while. */
  onBuild?: () => void;
}

/** Where the guide's services of a context are, and what they are known by. */
export interface GuidePlaces {
  /** The broker: `mqtt://HOST:PORT`. */
  mqtt: string;
  /** Device registry and model registry: `https://HOST:PORT`. */
  devices: string;
  models: string;
  /** PEM */
  ca?: string;
  fingerprint?: string;
}

/** The port of the guide's broker. */
const brokerPort = 30_005;

/** A board at the services of a context. @throws AIOT_CONTEXT_NOT_FOUND, AIOT_CONTEXT_KIND, and as `simulateGuideBoard` */
export async function simulateBoardAtGuide(options: GuideBoardOptions): Promise<void> {
  const { motor = 'healthy', rateHz = 1, seed } = options;
  const places = await placesOf(options.context);
  const sensor = motorSensor({ state: motor, rateHz, seed });
  const to = options.to ?? places.mqtt;
  if (options.native) {
    const { simulateNativeGuideBoard } = await import('./native.js');
    return simulateNativeGuideBoard({ ...options, to, places, sensor });
  }
  const { services, close } = openServices(places);
  try {
    await simulateGuideBoard({ ...options, to, services, sensor });
  } finally {
    await close();
  }
}

/** The services as a board in this process asks them; to be closed. */
export function openServices({ devices, models, ...trust }: GuidePlaces) {
  const [registry, shelf] = [devices, models].map((url) => createGuideClient({ url, ...trust })) as [
    ReturnType<typeof createGuideClient>,
    ReturnType<typeof createGuideClient>,
  ];
  const services: GuideServices = { confirmed: registry.confirmed, download: shelf.download };
  const close = async () => {
    await registry.close();
    await shelf.close();
  };
  return { services, close };
}

/** @throws AIOT_CONTEXT_NOT_FOUND, AIOT_CONTEXT_KIND */
async function placesOf(name: string | undefined): Promise<GuidePlaces> {
  const context = await contextFor(name);
  const trust = {
    ...(context.ca ? { ca: await readText(context.ca) } : {}),
    ...(context.fingerprint ? { fingerprint: context.fingerprint } : {}),
  };
  if (context.kind === 'architects-guide') {
    const { url } = context;
    return { mqtt: `mqtt://${new URL(url).hostname}:${brokerPort}`, devices: url, models: url, ...trust };
  }
  const { urls } = await withClient(context.name, (client) => client.status());
  if (urls.guide) return { ...urls.guide, ...trust };
  throw new AiotError(
    'AIOT_CONTEXT_KIND',
    `the platform of ${context.name} does not stand in for the guide’s services`,
    {
      next: 'aiot down, then aiot up --compat architects-guide',
    },
  );
}
