import { addChange, type Steps, switchCondition } from './change.js';
import { sinkOf, sourceOf } from './endpoints.js';
import { type Flow, type FlowNode, field, nodeText } from './flow.js';

/** A node that has no place in a route, and why. */
export interface LeftOut {
  node: string;
  reason: string;
}

/** A route as its file has it. */
export interface ImportedRoute {
  from: string;
  where?: string;
  map?: string;
  topic?: string;
  to: string | string[];
}

export interface Imported {
  routes: Record<string, ImportedRoute>;
  leftOut: LeftOut[];
  notes: string[];
}

/** Nodes that do nothing on the way. */
const passing = new Set(['junction', 'link out', 'link in', 'json', 'comment']);
/** Nodes that a flow can do without. */
const harmless: Record<string, string> = {
  debug: 'aiot stream tail shows what comes',
  'http response': 'a webhook is answered when the message has arrived',
  comment: 'a comment',
  inject: 'aiot stream pub sends by hand',
  status: 'aiot stream route run shows states',
  catch: 'onError has that',
};
/** Configuration, and what nodes stand on. */
const configuration =
  /^(tab|group|subflow|mqtt-broker|tls-config|http proxy|global-config|.*[kK]afka[- ][bB]roker.*|kafka-client)$/;

/** One way through a flow: from a source by nodes to a sink. */
interface Way {
  steps: Steps;
  visited: readonly string[];
}

/**
 * Routes of a Node-RED flow: one for each way from an input to an output. Brokers, change and switch nodes are taken over; every node that
 * is not is named, with the reason.
 */
export function importFlow(flow: Flow): Imported {
  const found = new Map<string, { name: string; route: ImportedRoute }>();
  const leftOut = new Map<string, LeftOut>();
  const used = new Set<string>();
  const notes = new Set<string>();
  const leave = (node: FlowNode, reason: string) => {
    leftOut.set(`${node.id} ${reason}`, { node: nodeText(node), reason });
    used.add(node.id);
  };

  const walk = (source: FlowNode, from: string, node: FlowNode, { steps, visited }: Way) => {
    (node.wires ?? []).forEach((output, index) => {
      for (const id of output) {
        const next = flow.nodes.get(id);
        if (!next || next.d || visited.includes(id)) continue;
        const own: Steps = { ...steps, where: [...steps.where] };
        if (node.type === 'switch') {
          const condition = switchCondition(node, index);
          if ('reason' in condition) {
            leave(node, condition.reason);
            continue;
          }
          if (condition.where !== 'true') own.where.push(condition.where);
        }
        step(source, from, next, { steps: own, visited: [...visited, id] });
      }
    });
  };

  const step = (source: FlowNode, from: string, node: FlowNode, way: Way) => {
    const sink = sinkOf(flow, node);
    if (sink) {
      if ('reason' in sink) return leave(node, sink.reason);
      used.add(node.id);
      const route = routeOf(from, sink.url, way.steps);
      found.set(JSON.stringify(route), { name: nameOf(flow, source, node), route });
      // What a request answers goes on behind it; a sink's answer is not a message.
      for (const id of (node.wires ?? []).flat()) {
        const next = flow.nodes.get(id);
        if (next && !(next.type in harmless)) leave(next, `it works on the answer of ${nodeText(node)}`);
      }
      return undefined;
    }
    if (node.type in harmless) return leave(node, harmless[node.type] as string);
    if (node.type === 'change') {
      for (const reason of addChange(node, way.steps)) leave(node, reason);
    } else if (node.type !== 'switch' && !passing.has(node.type)) {
      return leave(node, `a route has no ${node.type}; the ways through it are left out`);
    }
    used.add(node.id);
    // Links are wires by other means.
    const links = node.type === 'link out' && Array.isArray(node.links) ? (node.links as string[]) : [];
    return walk(source, from, links.length > 0 ? { ...node, wires: [links] } : node, way);
  };

  for (const node of flow.nodes.values()) {
    if (node.d) continue;
    const source = sourceOf(flow, node);
    if (!source) continue;
    if ('reason' in source) {
      leave(node, source.reason);
      continue;
    }
    used.add(node.id);
    for (const note of source.notes ?? []) notes.add(note);
    walk(node, source.url, node, { steps: { where: [] }, visited: [node.id] });
  }
  for (const node of flow.nodes.values()) {
    if (used.has(node.id) || configuration.test(node.type)) continue;
    leave(
      node,
      node.d
        ? 'it is disabled'
        : (harmless[node.type] ?? 'no way leads through it from an input to an output'),
    );
  }
  return { routes: named([...found.values()]), leftOut: [...leftOut.values()], notes: [...notes] };
}

function routeOf(from: string, to: string, { where, map, topic }: Steps): ImportedRoute {
  const hasTopic = /^(mqtts?|kafkas?|nats):\/\/[^/]+\/[^?]/.test(to);
  return {
    from,
    ...(where.length === 0
      ? {}
      : { where: where.length > 1 ? where.map((one) => `(${one})`).join(' and ') : (where[0] as string) }),
    ...(map === undefined ? {} : { map }),
    // Where the sink names its topic, Node-RED's node takes that whatever msg.topic is.
    ...(topic === undefined || hasTopic ? {} : { topic }),
    to,
  };
}

/** From the tab, the source or the sink: whatever has a name. */
function nameOf(flow: Flow, source: FlowNode, sink: FlowNode): string {
  const tab = field(flow.nodes.get(source.z ?? ''), 'label');
  const text =
    tab || [field(source, 'name') || source.type, 'to', field(sink, 'name') || sink.type].join(' ');
  const name = text
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^-|-$/g, '')
    .slice(0, 48);
  return name || 'route';
}

function named(all: readonly { name: string; route: ImportedRoute }[]): Record<string, ImportedRoute> {
  const routes: Record<string, ImportedRoute> = {};
  for (const { name, route } of all) {
    let free = name;
    for (let count = 2; free in routes; count++) free = `${name}-${count}`;
    routes[free] = route;
  }
  return routes;
}
