import * as z from 'zod';
import { AiotError } from '../core/errors.js';
import { namespaceIn, type RunOptions, runStep, targetIn, unitsIn } from './apply.js';
import { at, type Data, listAt, readDeployFolder, textAt } from './check/objects.js';

const states = ['ready', 'waiting', 'failing'] as const;

export const deployStatusSchema = z.object({
  target: z.string(),
  /** Absolute path of the folder. */
  dir: z.string(),
  /** Whether all parts are ready. */
  ok: z.boolean(),
  parts: z.array(
    z.object({
      kind: z.string(),
      name: z.string(),
      state: z.enum(states),
      ready: z.int(),
      wanted: z.int(),
      /** Reason why the part is not ready; null if it is. */
      reason: z.string().nullable(),
    }),
  ),
});

export type DeployStatus = z.output<typeof deployStatusSchema>;

type Part = DeployStatus['parts'][number];

/**
 * The current state of an applied installation, as reported by the program that applied it. @throws AIOT_DEPLOY_NOTHING,
 * AIOT_DEPLOY_FAILED, AIOT_USAGE
 */
export async function deploymentStatus(options: {
  dir: string;
  signal?: AbortSignal;
}): Promise<DeployStatus> {
  const folder = await readDeployFolder(options.dir);
  const target = await targetIn(folder.dir);
  const run = { cwd: folder.dir, signal: options.signal };
  const parts =
    target === 'compose'
      ? await ofCompose(run)
      : target === 'systemd'
        ? await ofSystemd(unitsIn(folder), run)
        : await ofCluster(
            target === 'argocd' ? 'argocd' : namespaceIn(folder),
            kindsOf(target, folder.objects),
            run,
          );
  return {
    target,
    dir: folder.dir,
    ok: parts.length > 0 && parts.every(({ state }) => state === 'ready'),
    parts,
  };
}

/** Kinds of objects whose state is queried. Only kinds in the rendering are queried, because others may not exist on the cluster. */
function kindsOf(target: string, objects: readonly { kind: string }[]): string[] {
  if (target === 'argocd') return ['applications.argoproj.io'];
  const own: Record<string, string> = {
    Kafka: 'kafkas.kafka.strimzi.io',
    Certificate: 'certificates.cert-manager.io',
    EventSource: 'eventsources.argoproj.io',
    Sensor: 'sensors.argoproj.io',
  };
  const there = new Set(objects.map(({ kind }) => kind));
  return [
    'deployments.apps',
    'statefulsets.apps',
    'persistentvolumeclaims',
    'pods',
    ...Object.entries(own).flatMap(([kind, resource]) => (there.has(kind) ? [resource] : [])),
  ];
}

async function ofCluster(namespace: string, kinds: string[], run: RunOptions): Promise<Part[]> {
  const command = ['kubectl', 'get', kinds.join(','), '--namespace', namespace, '--output', 'json'];
  const items = listAt(parsed(await runStep({ command, about: 'not deployed' }, run), 'kubectl'), 'items');
  const reasons = new Map(
    items
      .filter(({ kind }) => kind === 'Pod')
      .flatMap((pod) => {
        const why = podReason(pod);
        const owner = textAt(pod, 'metadata', 'labels', 'app.kubernetes.io/name');
        return why === undefined || owner === undefined ? [] : [[owner, why] as const];
      }),
  );
  return items.filter(({ kind }) => kind !== 'Pod').map((item) => clusterPart(item, reasons));
}

function clusterPart(item: Data, reasons: ReadonlyMap<string, string>): Part {
  const kind = String(item.kind);
  const name = textAt(item, 'metadata', 'name') ?? '';
  if (kind === 'Deployment' || kind === 'StatefulSet') {
    const wanted = Number(at(item, 'spec', 'replicas') ?? 1);
    const ready = Number(at(item, 'status', 'readyReplicas') ?? 0);
    const reason = ready >= wanted ? null : (reasons.get(name) ?? `${ready} of ${wanted} are ready`);
    const failing = reason !== null && /BackOff|Error|Invalid|OOM/.test(reason);
    return {
      kind,
      name,
      ready,
      wanted,
      reason,
      state: reason === null ? 'ready' : failing ? 'failing' : 'waiting',
    };
  }
  if (kind === 'PersistentVolumeClaim') {
    const phase = textAt(item, 'status', 'phase') ?? 'Pending';
    const good = phase === 'Bound';
    const reason = good ? null : phase;
    return {
      kind,
      name,
      ready: good ? 1 : 0,
      wanted: 1,
      reason,
      state: good ? 'ready' : phase === 'Lost' ? 'failing' : 'waiting',
    };
  }
  if (kind === 'Application') return applicationPart(item, name);
  const conditions = listAt(item, 'status', 'conditions');
  const ready = conditions.find(({ type }) => type === 'Ready');
  const bad = conditions.find(({ status }) => status === 'False');
  const good = ready ? ready.status === 'True' : conditions.length > 0 && bad === undefined;
  const told = ready ?? bad;
  const reason = good ? null : String(told?.message ?? told?.reason ?? 'no status yet');
  return { kind, name, ready: good ? 1 : 0, wanted: 1, reason, state: good ? 'ready' : 'waiting' };
}

function applicationPart(item: Data, name: string): Part {
  const health = textAt(item, 'status', 'health', 'status') ?? 'Unknown';
  const sync = textAt(item, 'status', 'sync', 'status') ?? 'Unknown';
  const good = health === 'Healthy' && sync === 'Synced';
  const state = good ? 'ready' : health === 'Degraded' ? 'failing' : 'waiting';
  return {
    kind: 'Application',
    name,
    ready: good ? 1 : 0,
    wanted: 1,
    reason: good ? null : `${health}, ${sync}`,
    state,
  };
}

function podReason(pod: Data): string | undefined {
  for (const status of [
    ...listAt(pod, 'status', 'initContainerStatuses'),
    ...listAt(pod, 'status', 'containerStatuses'),
  ]) {
    const why = textAt(status, 'state', 'waiting', 'reason');
    if (why !== undefined && why !== 'ContainerCreating' && why !== 'PodInitializing') {
      const more = textAt(status, 'lastState', 'terminated', 'reason');
      return `${String(status.name)}: ${why}${more === undefined ? '' : `, after ${more}`}`;
    }
  }
  const unscheduled = listAt(pod, 'status', 'conditions').find(
    ({ type, status }) => type === 'PodScheduled' && status === 'False',
  );
  return unscheduled ? String(unscheduled.message ?? unscheduled.reason) : undefined;
}

/** State of a Compose installation. Compose before 2.21 prints a list, and later versions print one line per service. */
async function ofCompose(run: RunOptions): Promise<Part[]> {
  const command = ['docker', 'compose', 'ps', '--all', '--format', 'json'];
  const text = (await runStep({ command, about: 'not deployed' }, run)).trim();
  const rows = text.startsWith('[')
    ? (parsed(text, 'docker') as Data[])
    : text
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => parsed(line, 'docker') as Data);
  return rows.map((row): Part => {
    const [state, health] = [String(row.State ?? ''), String(row.Health ?? '')];
    const good = state === 'running' && (health === '' || health === 'healthy');
    const failing =
      state === 'exited' || state === 'dead' || state === 'restarting' || health === 'unhealthy';
    return {
      ...{ kind: 'service', name: String(row.Service ?? row.Name ?? ''), ready: good ? 1 : 0, wanted: 1 },
      reason: good ? null : [state, health].filter((word) => word !== '').join(', '),
      state: good ? 'ready' : failing ? 'failing' : 'waiting',
    };
  });
}

async function ofSystemd(units: string[], run: RunOptions): Promise<Part[]> {
  const command = ['systemctl', 'show', ...units, '--property=Id,ActiveState,SubState,Result'];
  const text = await runStep({ command, about: 'not deployed' }, run);
  return text
    .split(/\n\s*\n/)
    .filter((block) => block.trim() !== '')
    .map((block): Part => {
      const fields = Object.fromEntries(
        block
          .trim()
          .split('\n')
          .map((line) => line.split(/=(.*)/s, 2)),
      );
      const { Id = '', ActiveState = '', SubState = '', Result = '' } = fields;
      const good = ActiveState === 'active';
      return {
        ...{ kind: 'unit', name: Id, ready: good ? 1 : 0, wanted: 1 },
        reason: good
          ? null
          : [ActiveState, SubState, Result].filter((word) => word !== '' && word !== 'success').join(', '),
        state: good ? 'ready' : ActiveState === 'activating' ? 'waiting' : 'failing',
      };
    });
}

function parsed(text: string, program: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new AiotError('AIOT_DEPLOY_FAILED', `${program} printed no JSON`, { cause });
  }
}
