import { contextFor, withClient } from '../../api/context.js';
import { createGuideClient } from '../../api/guide/client.js';
import { AiotError } from '../../core/errors.js';
import { readText } from '../../core/files.js';
import { motorSensor } from '../telemetry/sensor.js';
import { type GuideServices, type SimulateGuideOptions, simulateGuideBoard } from './simulate.js';

export interface GuideBoardOptions
  extends Pick<SimulateGuideOptions, 'id' | 'role' | 'count' | 'forMs' | 'signal' | 'onEvent'> {
  /** Context of a platform with --compat architects-guide, or of an installation of the guide; absent = the current context. */
  context?: string | undefined;
  /** The broker's address; absent = the context's broker. */
  to?: string | undefined;
  motor?: Parameters<typeof motorSensor>[0]['state'] | undefined;
  /** Readings per second; default 1. */
  rateHz?: number | undefined;
  seed: number;
  /** Whether to run the firmware's core as a separate program instead of simulating the board in this process. */
  native?: boolean;
  /** Path of that program; absent = aiot's own. */
  program?: string | undefined;
  /** Called while the native program is being built, which takes a while. */
  onBuild?: () => void;
}

/** Addresses of a context's guide services, and how to verify them. */
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

/** The guide's broker port. */
const brokerPort = 30_005;

/** Runs a board against the services of a context. @throws AIOT_CONTEXT_NOT_FOUND, AIOT_CONTEXT_KIND, and the errors of `simulateGuideBoard` */
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

/** Opens clients of the services for a board in this process. The caller must close them. */
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
    `the platform of ${context.name} does not provide the guide's services`,
    {
      next: 'Run `aiot down`, then `aiot up --compat architects-guide`.',
    },
  );
}
