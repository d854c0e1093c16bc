import { isIP } from 'node:net';
import type { Scope } from '../template/index.js';
import type { Values } from '../values/index.js';
import { argoScope } from './argo.js';
import { folders, platformVariables, said, stateVariables } from './env.js';
import { kafkaScope } from './kafka.js';
import { brokerPort, policiesOf } from './network.js';
import { failover, limitsOf, secure } from './secure.js';
import { servicesScope } from './services.js';

/** All that the templates of templates/deploy/k3s name. @param pipeline whether the project's own is among the files */
export function scopeOf(values: Values, pipeline: boolean): Scope {
  const { name, namespace, host, image, images, pullSecret, storageClass, nats, redis } = values;
  const kafka = kafkaScope(values);
  const kept = <Part extends { storageClass?: string | undefined }>(part: Part) => ({
    ...part,
    storageClass: part.storageClass ?? storageClass,
  });
  const small = limitsOf({ cpu: '50m', memory: '64Mi', limit: '256Mi' });
  return {
    ...{ name, namespace, host, image, images, storageClass, secure, failover, kafka },
    pullSecrets: pullSecret === null ? null : [{ name: pullSecret }],
    affinity: affinityOf(values),
    platform: platformScope(values, kafka ? kafka.bootstrap : null),
    database: values.database && { ...kept(values.database), limits: limitsOf(values.database.resources) },
    objects: values.objects && { ...kept(values.objects), limits: limitsOf(values.objects.resources) },
    broker: values.broker
      ? {
          ...kept(values.broker),
          limits: limitsOf(values.broker.resources),
          mqttPort: values.platform ? values.platform.mqttPort : 8883,
          inside: brokerPort(values),
          pki: values.platform !== false,
          alone: values.platform === false,
          ...namesOf(values, ['broker', `broker.${namespace}.svc`]),
          pkiEnv: [
            ...folders,
            said('AIOT_PUBLIC', [...values.hosts, 'broker'].join(',')),
            ...stateVariables(values),
          ],
          pkiLimits: limitsOf({ cpu: '20m', memory: '128Mi', limit: '384Mi' }),
        }
      : { alone: false, there: false },
    nats: nats && { ...kept(nats), limits: limitsOf({ cpu: '50m', memory: '64Mi', limit: '384Mi' }) },
    redis: redis && { ...kept(redis), limits: small },
    argo: argoScope(values, pipeline),
    policies: policiesOf(values),
    ...servicesScope(values),
  };
}

/** Names and addresses of a certificate. */
function namesOf({ hosts }: Values, more: string[]) {
  const addresses = hosts.filter((each) => isIP(each) !== 0);
  return {
    dnsNames: [...hosts.filter((each) => isIP(each) === 0), ...more],
    addresses: addresses.length === 0 ? null : addresses,
  };
}

/** Images have these architectures; a node of another one would pull and fail. */
const affinityOf = ({ arch }: Values) => ({
  nodeAffinity: {
    requiredDuringSchedulingIgnoredDuringExecution: {
      nodeSelectorTerms: [
        { matchExpressions: [{ key: 'kubernetes.io/arch', operator: 'In', values: arch }] },
      ],
    },
  },
});

const doors = ['guide-mqtt', 'guide-devices', 'guide-models', 'guide-data'] as const;

function platformScope(values: Values, bootstrap: string | null) {
  const { platform, namespace, broker } = values;
  if (!platform) return false;
  const guide = platform.compat !== undefined;
  return {
    ...platform,
    guide,
    /** Its own, which devices come to. */
    brokers: !broker,
    ...namesOf(values, [`platform.${namespace}.svc`]),
    env: platformVariables(values, bootstrap),
    limits: limitsOf(platform.resources),
    guidePorts: guide
      ? doors.map((name, index) => ({
          name,
          port: platform.compatPorts[index],
          nodePort: platform.compatPorts[index],
        }))
      : [],
    // One that has a volume ends before the next one begins.
    strategy: guide
      ? { type: 'Recreate' }
      : { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } },
  };
}
