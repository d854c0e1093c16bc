import { at, type Data, type DeployObject, listAt } from './objects.js';

const inTemplate = new Set(['Deployment', 'StatefulSet', 'DaemonSet', 'ReplicaSet', 'Job']);

export interface PodSpec {
  object: DeployObject;
  path: PropertyKey[];
  spec: Data;
  /** It goes on for ever: probes make sense. */
  serves: boolean;
}

/** The specification of pods that an object of Kubernetes makes. */
export function podsOf(objects: readonly DeployObject[]): PodSpec[] {
  return objects.flatMap((object): PodSpec[] => {
    const path =
      object.kind === 'Pod'
        ? ['spec']
        : object.kind === 'CronJob'
          ? ['spec', 'jobTemplate', 'spec', 'template', 'spec']
          : ['spec', 'template', 'spec'];
    if (object.kind !== 'Pod' && object.kind !== 'CronJob' && !inTemplate.has(object.kind)) return [];
    const spec = at(object.data, ...path);
    if (spec === null || typeof spec !== 'object') return [];
    return [{ object, path, spec: spec as Data, serves: object.kind !== 'Job' && object.kind !== 'CronJob' }];
  });
}

export interface ContainerSpec extends PodSpec {
  container: Data;
  /** Of the container. */
  at: PropertyKey[];
  first: boolean;
}

export function containersOf(pods: readonly PodSpec[]): ContainerSpec[] {
  return pods.flatMap((pod) =>
    (['initContainers', 'containers'] as const).flatMap((list) =>
      listAt(pod.spec, list).map((container, index) => ({
        ...pod,
        container,
        at: [...pod.path, list, index],
        first: list === 'initContainers' && container.restartPolicy !== 'Always',
      })),
    ),
  );
}
