/** What Pod Security's profile `restricted` asks for, and a little more; numbers, for the kubelet cannot look up names. */
const pod = (user: number) => ({
  runAsNonRoot: true,
  runAsUser: user,
  runAsGroup: user,
  fsGroup: user,
  fsGroupChangePolicy: 'OnRootMismatch',
  seccompProfile: { type: 'RuntimeDefault' },
});

const container = {
  allowPrivilegeEscalation: false,
  readOnlyRootFilesystem: true,
  capabilities: { drop: ['ALL'] },
};

/** Of distroless images: `nonroot`. */
export const ourUser = 65_532;

export const secure = {
  pod: pod(ourUser),
  container,
  /** Users of the images of PostgreSQL and Mosquitto. */
  database: pod(999),
  broker: pod(1883),
  /** The operator's own images have their user; it is no root. */
  strimziPod: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
  strimzi: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
};

/** From a node that is lost to another one within half a minute, and not five. */
export const failover = ['node.kubernetes.io/unreachable', 'node.kubernetes.io/not-ready'].map((key) => ({
  key,
  operator: 'Exists',
  effect: 'NoExecute',
  tolerationSeconds: 30,
}));

export interface Resources {
  cpu: string;
  memory: string;
  limit: string;
}

/** No limit of processor time: it slows down what has none to wait for. */
export const limitsOf = ({ cpu, memory, limit }: Resources, extra: Record<string, number> = {}) => ({
  requests: { cpu, memory },
  limits: { memory: limit, ...extra },
});
