import type { Project } from '../../core/index.js';
import { aiotVersion } from '../../core/index.js';
import type { Given, ServiceValues } from './schema.js';

type Optional = 'name' | 'namespace' | 'hosts' | 'image' | 'kafka' | 'nats' | 'redis' | 'argo' | 'pullSecret';
/** deploy.yaml with all that it left out. */
export interface Values extends Omit<Given, Optional> {
  name: string;
  namespace: string;
  hosts: string[];
  /** The first of them. */
  host: string;
  image: string;
  pullSecret: string | null;
  kafka: Exclude<Given['kafka'], undefined>;
  nats: Exclude<Given['nats'], undefined>;
  redis: Exclude<Given['redis'], undefined>;
  argo: Exclude<Given['argo'], undefined>;
  services: Record<string, ServiceValues>;
}

/** Parts that are there unless told, by what somebody has. */
export interface Usual {
  kafka: Values['kafka'];
  nats: Values['nats'];
  redis: Values['redis'];
  argo: Values['argo'];
}

/** Of what is asked for alone. */
export const nothing: Usual = { kafka: false, nats: false, redis: false, argo: false };

/** What deploy.yaml left out follows from the project, and from what the target has usually. */
export function resolveValues(given: Given, project: Project | null, usual: Usual): Values {
  const name = given.name ?? labelOf(project?.config.name ?? 'aiot');
  const hosts = given.hosts ?? [`${name}.internal`];
  return {
    ...given,
    name,
    namespace: given.namespace ?? name,
    hosts,
    host: hosts[0] ?? `${name}.internal`,
    image: given.image ?? `registry.internal:5000/aiot:${aiotVersion()}`,
    pullSecret: given.pullSecret ?? null,
    kafka: given.kafka ?? usual.kafka,
    nats: given.nats ?? usual.nats,
    redis: given.redis ?? usual.redis,
    argo: given.argo ?? usual.argo,
  };
}

/** A project's name as names of Kubernetes are. */
function labelOf(name: string): string {
  const text = name
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^[^a-z]+|-+$/g, '')
    .slice(0, 40)
    .replace(/-+$/, '');
  return text === '' ? 'aiot' : text;
}
