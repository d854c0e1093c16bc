import { at, type DeployFolder, type Finding, finding, listAt, walk } from '../objects.js';
import { type ContainerSpec, containersOf, podsOf } from '../pods.js';

/** Probes, limits, images, and what Pod Security's profile of the namespace asks for. */
export function podFindings({ objects }: DeployFolder): Finding[] {
  const containers = containersOf(podsOf(objects));
  const restricted = objects.some(
    ({ kind, data }) =>
      kind === 'Namespace' &&
      at(data, 'metadata', 'labels', 'pod-security.kubernetes.io/enforce') === 'restricted',
  );
  return [
    ...containers.flatMap(probeFindings),
    ...containers.flatMap(limitFindings),
    ...(restricted ? containers.flatMap(restrictedFindings) : []),
    ...objects.flatMap((object) =>
      object.kind === 'Kustomization' || object.kind === 'Component'
        ? []
        : [...walk(object.data)]
            .filter(({ path, value }) => path.at(-1) === 'image' && typeof value === 'string')
            .flatMap(({ path, value }) => {
              const wrong = wrongImage(value as string);
              return wrong === undefined ? [] : [finding(object, path, 'image', wrong)];
            }),
    ),
    ...objects.flatMap((object) => {
      const replicas = objects.find(
        ({ kind, data }) =>
          (kind === 'Deployment' || kind === 'StatefulSet') &&
          JSON.stringify(at(data, 'spec', 'selector', 'matchLabels')) ===
            JSON.stringify(at(object.data, 'spec', 'selector', 'matchLabels')),
      );
      const least = at(object.data, 'spec', 'minAvailable');
      if (object.kind !== 'PodDisruptionBudget' || !replicas || typeof least !== 'number') return [];
      const there = Number(at(replicas.data, 'spec', 'replicas') ?? 1);
      return least < there
        ? []
        : [
            finding(
              object,
              ['spec', 'minAvailable'],
              'budget',
              `${least} of ${there} must stay: no node with one of them can be drained`,
            ),
          ];
    }),
  ];
}

function probeFindings({ container, at: path, object, serves, first }: ContainerSpec): Finding[] {
  if (first || !serves) return [];
  const listens = listAt(container, 'ports').length > 0;
  const missing = (probe: string, message: string, level?: Finding['level']) =>
    container[probe] === undefined
      ? [finding(object, path, 'probe', `${container.name}: ${message}`, level)]
      : [];
  return listens
    ? [
        ...missing('readinessProbe', 'no readinessProbe: it gets requests before it can answer'),
        ...missing('livenessProbe', 'no livenessProbe: one that hangs stays', 'warning'),
      ]
    : [];
}

function limitFindings({ container, at: path, object }: ContainerSpec): Finding[] {
  const lacks = (where: string) => at(container, 'resources', where, 'memory') === undefined;
  return [
    ...(lacks('limits')
      ? [finding(object, path, 'limit', `${container.name}: no limit of memory: it can take all of its node`)]
      : []),
    ...(lacks('requests')
      ? [
          finding(
            object,
            path,
            'limit',
            `${container.name}: requests no memory: it is ended first`,
            'warning',
          ),
        ]
      : []),
  ];
}

function restrictedFindings({ container, spec, at: path, object }: ContainerSpec): Finding[] {
  const own = (key: string) => at(container, 'securityContext', key) ?? at(spec, 'securityContext', key);
  const drops = at(container, 'securityContext', 'capabilities', 'drop');
  const wants: [boolean, string][] = [
    [own('runAsNonRoot') === true, 'runAsNonRoot: true'],
    [
      at(container, 'securityContext', 'allowPrivilegeEscalation') === false,
      'allowPrivilegeEscalation: false',
    ],
    [Array.isArray(drops) && drops.includes('ALL'), 'capabilities.drop: [ALL]'],
    [at(own('seccompProfile'), 'type') !== undefined, 'seccompProfile.type: RuntimeDefault'],
    [own('runAsUser') !== 0, 'another runAsUser than 0'],
  ];
  const missing = wants.filter(([there]) => !there).map(([, what]) => what);
  return missing.length === 0
    ? []
    : [
        finding(
          object,
          path,
          'pod-security',
          `${container.name}: the namespace refuses it without ${missing.join(', ')}`,
        ),
      ];
}

/** A variable of Compose is somebody else's to say. */
export function wrongImage(image: string): string | undefined {
  if (image.includes('${') || image.includes('@sha256:')) return undefined;
  const last = image.slice(image.lastIndexOf('/') + 1);
  if (!last.includes(':')) return `${image} has no tag: it is another one tomorrow`;
  return last.endsWith(':latest') ? `${image}: latest is another one tomorrow` : undefined;
}
