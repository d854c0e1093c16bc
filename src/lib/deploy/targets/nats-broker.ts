import { fillText, templateText } from '../template.js';
import type { Values } from '../values.js';
import { type Affinity, affinityApart, said, secret, type Variable } from './k3s-environment.js';

export const hasNatsBroker = ({ platform, broker }: Values) =>
  platform !== false && broker !== false && broker.engine === 'nats';

type NatsBroker = Exclude<Values['broker'], false>;

const routesOf = ({ servers }: NatsBroker) =>
  Array.from({ length: servers }, (_, index) => ({
    name: `ROUTE_${index}`,
    host: `broker-${index}.broker-nodes`,
  }));

/** The configuration and the script with which each NATS server starts. */
export function natsBrokerFiles({ broker }: Values): [name: string, text: string][] {
  if (broker === false) return [];
  const { servers } = broker;
  const scope = { servers, several: servers > 1, routes: routesOf(broker) };
  return [
    ['nats.conf', fillText(templateText('nats-broker/nats.conf'), scope)],
    ['start.sh', templateText('nats-broker/start.sh')],
  ];
}

/** Values of base/broker.yaml for NATS. */
export function natsBrokerScope(broker: NatsBroker, affinity: Affinity) {
  const several = broker.servers > 1;
  const routes = routesOf(broker);
  const natsEnv: Variable[] = [
    { name: 'POD_NAME', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
    secret('AIOT_NATS_PASSWORD', 'broker', 'platform'),
    secret('AIOT_NATS_SYSTEM_PASSWORD', 'broker', 'system'),
    ...(several
      ? [
          secret('ROUTES_PASSWORD', 'broker', 'routes'),
          // The configuration cannot insert a password into an address.
          ...routes.map(({ name, host }) =>
            said(name, `nats-route://routes:$(ROUTES_PASSWORD)@${host}:6222`),
          ),
        ]
      : []),
  ];
  return {
    several,
    routed: several && broker.engine === 'nats',
    routeNames: routes.map(({ host }) => host),
    affinity: several ? affinityApart(affinity, 'broker') : affinity,
    natsEnv,
  };
}
