import { stringify } from 'yaml';
import * as z from 'zod';
import { AiotError } from '../../core/errors.js';
import { readText, writeFileAtomic } from '../../core/files.js';
import { issueText } from '../../core/issues.js';
import { parseRoutes } from './load.js';
import type { PresetName } from './schema.js';

export const importedRoutesSchema = z.object({
  /** Name, source and destination of each route. */
  routes: z.array(z.object({ name: z.string(), from: z.string(), to: z.string() })),
  /** Nodes that could not be converted. */
  leftOut: z.array(z.object({ node: z.string(), reason: z.string() })),
  notes: z.array(z.string()),
  yaml: z.string(),
  /** Output file; absent = not written. */
  out: z.string().optional(),
});

export type ImportedRoutes = z.output<typeof importedRoutesSchema>;

/** Imports a Node-RED flow, or a preset for two given addresses. */
type ImportOptions = { out?: string } & ({ flow: string } | { preset: PresetName; from: string; to: string });

/**
 * Converts a flow to a file of routes. @throws AIOT_FILE_NOT_FOUND, AIOT_FILE_MALFORMED (not a flow, or nothing in it can be
 * converted), AIOT_ROUTE_INVALID, AIOT_FILE_NOT_WRITABLE
 */
export async function importRoutes(options: ImportOptions): Promise<ImportedRoutes> {
  const { out } = options;
  const { routes, leftOut, notes } =
    'flow' in options
      ? importFlow(parseFlow(await readText(options.flow), options.flow))
      : {
          routes: { [options.preset]: { preset: options.preset, from: options.from, to: options.to } },
          leftOut: [],
          notes: [],
        };
  if (Object.keys(routes).length === 0) {
    const reasons = leftOut.map(({ node, reason }) => `${node}: ${reason}`).join('; ');
    throw new AiotError(
      'AIOT_FILE_MALFORMED',
      `no path from an input to an output was found${reasons === '' ? '' : `: ${reasons}`}`,
    );
  }
  const yaml = stringify({ routes }, { lineWidth: 0 });
  // Reading the generated routes validates them.
  parseRoutes(yaml, out ?? 'routes.yaml', { environment: process.env });
  if (out !== undefined) await writeFileAtomic(out, yaml);
  return {
    routes: Object.entries(routes).map(([name, { from, to }]) => ({
      name,
      from,
      to: [to].flat().join(', '),
    })),
    leftOut,
    notes,
    yaml,
    ...(out === undefined ? {} : { out }),
  };
}

/** A node that cannot be converted, and the reason. */
interface LeftOut {
  node: string;
  reason: string;
}

/** A route in the form of its file. */
interface ImportedRoute {
  from: string;
  where?: string;
  map?: string;
  topic?: string;
  to: string | string[];
}

interface Imported {
  routes: Record<string, ImportedRoute>;
  leftOut: LeftOut[];
  notes: string[];
}

/** Node types that do not change messages. */
const passing = new Set(['junction', 'link out', 'link in', 'json', 'comment']);

/** Node types that can be omitted without changing the result, with a hint for each. */
const harmless: Record<string, string> = {
  debug: 'use aiot stream tail to show messages',
  'http response': 'a webhook gets its response when the message has arrived',
  comment: 'a comment',
  inject: 'use aiot stream publish to send messages',
  status: 'aiot stream route run shows the states',
  catch: 'use onError instead',
};

/** Configuration node types. */
const configuration =
  /^(tab|group|subflow|mqtt-broker|tls-config|http proxy|global-config|.*[kK]afka[- ][bB]roker.*|kafka-client)$/;

/** State of the search along one path, from a source through nodes to a sink. */
interface Way {
  steps: Steps;
  visited: readonly string[];
}

/**
 * Converts a Node-RED flow to routes, one for each path from an input to an output. Brokers, change and switch nodes are converted. Any
 * other node is listed in `leftOut`, with the reason.
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
      // A request node's wires carry its response, but a sink's response is not a message.
      for (const id of (node.wires ?? []).flat()) {
        const next = flow.nodes.get(id);
        if (next && !(next.type in harmless)) leave(next, `it needs the response of ${nodeText(node)}`);
      }
      return undefined;
    }
    if (node.type in harmless) return leave(node, harmless[node.type] as string);
    if (node.type === 'change') {
      for (const reason of addChange(node, way.steps)) leave(node, reason);
    } else if (node.type !== 'switch' && !passing.has(node.type)) {
      return leave(node, `routes do not support ${node.type}; paths through it are left out`);
    }
    used.add(node.id);
    // Links act like wires.
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
        : (harmless[node.type] ?? 'no path from an input to an output leads through it'),
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
    // If the sink specifies a topic, Node-RED uses it and ignores msg.topic.
    ...(topic === undefined || hasTopic ? {} : { topic }),
    to,
  };
}

/** Name of a route: the tab's label, or else `SOURCE-to-SINK`. */
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

/** The source's or sink's address for a node, or the reason why there is none. */
type Endpoint = { url: string; notes?: string[] } | { reason: string };

const qosOf = (node: FlowNode) => {
  const qos = field(node, 'qos');
  return /^[012]$/.test(qos) ? `?qos=${qos}` : '';
};

/** Escapes a topic for a URL, where `?` would begin the settings, and `%` an escape. */
const escaped = (topic: string) => topic.replaceAll('%', '%25').replaceAll('?', '%3F');

function mqttBroker(flow: Flow, node: FlowNode): string | undefined {
  const broker = flow.nodes.get(field(node, 'broker'));
  const host = field(broker, 'broker');
  if (host === '') return undefined;
  if (/^(mqtts?|wss?):\/\//.test(host)) return host.replace(/\/$/, '');
  const scheme = broker?.usetls === true ? 'mqtts' : 'mqtt';
  return `${scheme}://${host}:${field(broker, 'port') || '1883'}`;
}

/**
 * The brokers to which a node refers: a list in `hosts` in node-red-contrib-kafka-node and kafka-manager, or a string
 * in other packages.
 */
function kafkaBroker(flow: Flow, node: FlowNode): string | undefined {
  const broker = flow.nodes.get(field(node, 'broker', 'client', 'kafkaBroker')) ?? node;
  const { hosts } = broker;
  if (Array.isArray(hosts)) {
    const named = hosts
      .map((each: { host?: string; port?: string | number }) =>
        each.host ? `${each.host}:${each.port ?? 9092}` : '',
      )
      .filter((text) => text !== '');
    if (named.length > 0) return `kafka://${named.join(',')}`;
  }
  const text = field(broker, 'hosts', 'brokers', 'broker', 'host', 'zkquorum');
  if (text === '' || flow.nodes.has(text)) return undefined;
  const port = field(broker, 'port');
  return `kafka://${text.replaceAll(/\s/g, '')}${port === '' || text.includes(':') ? '' : `:${port}`}`;
}

const passwordNote = (kind: string) =>
  `${kind}: a flow contains no passwords; store one for its endpoint with aiot stream login`;

/** The source for a node. Undefined if the node is not a source. */
function sourceOf(flow: Flow, node: FlowNode): Endpoint | undefined {
  switch (kindOf(node)) {
    case 'mqtt in': {
      const broker = mqttBroker(flow, node);
      if (broker === undefined) return { reason: 'its broker is not in the file' };
      const topic = field(node, 'topic');
      if (topic === '') return { reason: 'it has no topic (it subscribes while the flow runs)' };
      const secured = field(flow.nodes.get(field(node, 'broker')), 'credentials') !== '';
      return {
        url: `${broker}/${escaped(topic)}${qosOf(node)}`,
        ...(secured ? { notes: [passwordNote(broker)] } : {}),
      };
    }
    case 'kafka in': {
      const broker = kafkaBroker(flow, node);
      if (broker === undefined) return { reason: 'its broker is not in the file' };
      const group = field(node, 'groupId', 'groupid', 'group');
      return { url: `${broker}/${field(node, 'topic', 'topics')}${group === '' ? '' : `?group=${group}`}` };
    }
    case 'http in': {
      const method = field(node, 'method') || 'get';
      if (method !== 'post')
        return { reason: `it handles ${method.toUpperCase()} requests, but a webhook accepts only POST` };
      return { url: `http://0.0.0.0:1880${field(node, 'url')}` };
    }
    default:
      return undefined;
  }
}

/** The sink for a node. Undefined if the node is not a sink. */
function sinkOf(flow: Flow, node: FlowNode): Endpoint | undefined {
  switch (kindOf(node)) {
    case 'mqtt out': {
      const broker = mqttBroker(flow, node);
      if (broker === undefined) return { reason: 'its broker is not in the file' };
      const topic = escaped(field(node, 'topic'));
      return { url: `${broker}${topic === '' ? '' : `/${topic}`}${qosOf(node)}` };
    }
    case 'kafka out': {
      const broker = kafkaBroker(flow, node);
      if (broker === undefined) return { reason: 'its broker is not in the file' };
      const topic = field(node, 'topic');
      return { url: topic === '' ? broker : `${broker}/${topic}` };
    }
    case 'http request': {
      const method = field(node, 'method') || 'GET';
      const url = field(node, 'url');
      if (url === '') return { reason: 'its address is set while the flow runs' };
      if (url.includes('{{')) return { reason: `its address contains a field: ${url}` };
      if (method !== 'POST')
        return {
          reason: `it sends ${method === 'use' ? 'a method set while the flow runs' : method} requests, but a sink sends only POST`,
        };
      return { url: /^https?:/.test(url) ? url : `http://${url}` };
    }
    case 'file': {
      const file = field(node, 'filename');
      if (file === '' || /^(jsonata|msg|env)$/.test(field(node, 'filenameType')))
        return { reason: 'its name is set while the flow runs' };
      return { url: `file://${file.startsWith('/') ? file : `./${file}`}` };
    }
    default:
      return undefined;
  }
}

/** The kind of a node. Each Kafka package has its own names: `Kafka Producer`, `kafka out`, `hm-kafka-producer`, … */
function kindOf({ type }: FlowNode): string {
  if (/kafka/i.test(type)) {
    if (/produc|out$/i.test(type)) return 'kafka out';
    if (/consum|in$/i.test(type)) return 'kafka in';
  }
  return type;
}

/** The combined effect of change and switch nodes on a path: fields of a route. */
interface Steps {
  where: string[];
  map?: string;
  topic?: string;
}

/** One rule of a change node: the action `t`, the property `p` (kind `pt`) and the value `to` (kind `tot`). */
interface Rule {
  t?: string;
  p?: string;
  pt?: string;
  from?: string;
  fromt?: string;
  to?: unknown;
  tot?: string;
  v?: unknown;
  vt?: string;
  /** The upper limit of a `btwn` rule. */
  v2?: unknown;
}

const json = (value: unknown) => JSON.stringify(value);

/** A value from the editor as an expression; undefined if it cannot be converted. */
function expressionOf(value: unknown, kind: string | undefined): string | undefined {
  const text = String(value ?? '');
  switch (kind) {
    case 'str':
    case undefined:
      return json(text);
    case 'num':
      return Number.isFinite(Number(text)) && text !== '' ? String(Number(text)) : undefined;
    case 'bool':
      return text === 'true' ? 'true' : 'false';
    case 'json':
      try {
        return json(JSON.parse(text));
      } catch {
        return undefined;
      }
    case 'date':
      return '$millis()';
    case 'msg':
      return property(text);
    case 'jsonata':
      return /\b(topic|payload|_msgid)\b/.test(text) ? rewritten(text) : text;
    default:
      return undefined;
  }
}

/**
 * Converts a property of Node-RED's message to an expression: `payload.a` becomes `a`, `payload` becomes `$`, and `topic` becomes
 * `$topic`.
 */
function property(path: string): string | undefined {
  if (path === 'payload') return '$';
  if (path === 'topic') return '$topic';
  if (path === 'key') return '$key';
  return /^payload\.[A-Za-z_][\w.]*$/.test(path) ? path.slice('payload.'.length) : undefined;
}

/**
 * Rewrites a Node-RED expression, in which the root is the message, so that the root is the payload; undefined if this
 * is not possible.
 */
function rewritten(text: string): string | undefined {
  if (/_msgid|\$flowContext|\$globalContext|\$env\b|\$moment/.test(text)) return undefined;
  return text
    .replaceAll(/(?<![\w.$])payload\.(?=[A-Za-z_`"])/g, '')
    .replaceAll(/(?<![\w.$])payload(?!\w)/g, '$')
    .replaceAll(/(?<![\w.$])topic(?!\w)/g, '$topic');
}

/** Adds a change node to the steps so far; returns the parts that cannot be converted. */
function addChange(node: FlowNode, steps: Steps): string[] {
  const reasons: string[] = [];
  const rules = Array.isArray(node.rules) ? (node.rules as Rule[]) : [];
  for (const rule of rules) {
    const place = `${rule.t ?? '?'} ${rule.pt ?? 'msg'}.${rule.p ?? ''}`;
    const value = rule.t === 'set' ? expressionOf(rule.to, rule.tot) : undefined;
    if (rule.pt !== undefined && rule.pt !== 'msg') reasons.push(`${place}: routes do not support context`);
    else if (rule.t === 'set' && value === undefined)
      reasons.push(`${place}: no expression for ${json(rule.to)} (${rule.tot})`);
    else if (rule.t === 'set' && rule.p === 'payload' && steps.map === undefined) steps.map = value as string;
    else if (rule.t === 'set' && rule.p === 'topic') steps.topic = value as string;
    else if (rule.t === 'change' && rule.p === 'topic') addTopicChange(rule, steps, reasons, place);
    else if (rule.t === 'delete' && /^payload\.\w+$/.test(rule.p ?? '') && steps.map === undefined) {
      steps.map = `$sift($, function($v, $k) { $k != ${json((rule.p as string).slice(8))} })`;
    } else if (rule.t === 'set' && /^payload\.\w+$/.test(rule.p ?? '') && steps.map === undefined) {
      steps.map = `$merge([$, {${json((rule.p as string).slice(8))}: ${value}}])`;
    } else if (rule.t === 'set' && ['url', 'method', 'headers'].includes(rule.p ?? '')) {
      reasons.push(`${place}: the sink's address sets this`);
    } else reasons.push(`${place}: routes have no such step`);
  }
  return reasons;
}

/** Converts `change topic from A to B`. If there are several such rules, they are applied in order. */
function addTopicChange(rule: Rule, steps: Steps, reasons: string[], place: string): void {
  const to = expressionOf(rule.to, rule.tot);
  if (to === undefined || (rule.fromt ?? 'str') !== 'str') {
    reasons.push(`${place}: routes can only replace text with text`);
    return;
  }
  const before = steps.topic ?? '$topic';
  // As in Node-RED, every occurrence within the text is replaced.
  steps.topic = `$replace(${before}, ${json(rule.from ?? '')}, ${to})`;
}

const comparisons: Record<string, string> = { eq: '=', neq: '!=', lt: '<', lte: '<=', gt: '>', gte: '>=' };

/** The condition of one output of a switch node, or the reason why it cannot be converted. */
function switchCondition(node: FlowNode, output: number): { where: string } | { reason: string } {
  const rules = Array.isArray(node.rules) ? (node.rules as Rule[]) : [];
  const of =
    field(node, 'propertyType') === 'jsonata'
      ? rewritten(field(node, 'property'))
      : property(field(node, 'property') || 'payload');
  if (of === undefined) return { reason: `it uses ${field(node, 'property')}, which routes do not have` };
  const conditions = rules.map((rule) => conditionOf(rule, of));
  const own = conditions[output];
  if (own === undefined)
    return {
      reason: `its output ${output + 1} has a rule that cannot be expressed: ${rules[output]?.t ?? 'none'}`,
    };
  const earlier = node.checkall === 'false' ? conditions.slice(0, output) : [];
  const others = own === 'else' ? conditions.filter((_, index) => index !== output) : earlier;
  if (others.some((one) => one === undefined || one === 'else'))
    return { reason: `the rules before output ${output + 1} cannot be expressed` };
  const not = others.map((one) => `$not(${one})`);
  return { where: [...not, ...(own === 'else' ? [] : [own])].join(' and ') || 'true' };
}

function conditionOf({ t = '', v, vt, v2 }: Rule, of: string): string | undefined {
  const value = expressionOf(v, vt ?? 'str');
  const sign = comparisons[t];
  if (sign) return value === undefined ? undefined : `${of} ${sign} ${value}`;
  switch (t) {
    case 'else':
      return 'else';
    case 'true':
      return `${of} = true`;
    case 'false':
      return `${of} = false`;
    case 'cont':
      return value === undefined ? undefined : `$contains($string(${of}), ${value})`;
    case 'null':
      return `$not($exists(${of})) or ${of} = null`;
    case 'nnull':
      return `$exists(${of}) and ${of} != null`;
    case 'btwn': {
      const high = expressionOf(v2, 'num');
      return value === undefined || high === undefined ? undefined : `${of} >= ${value} and ${of} <= ${high}`;
    }
    default:
      return undefined;
  }
}

/**
 * A node of a Node-RED flow as exported by its editor. In a list of nodes, `z` is the node's tab, and `wires` lists the nodes connected to
 * each of its outputs. Configuration nodes (brokers) have no wires. Source: nodered.org, "Flows", and each node's own help.
 */
const nodeSchema = z.looseObject({
  id: z.string(),
  type: z.string(),
  name: z.string().optional(),
  z: z.string().optional(),
  /** Whether the node is disabled. */
  d: z.boolean().optional(),
  wires: z.array(z.array(z.string())).optional(),
});

type FlowNode = z.output<typeof nodeSchema>;

interface Flow {
  nodes: Map<string, FlowNode>;
}

/** @throws AIOT_FILE_MALFORMED if the text is not a list of nodes */
export function parseFlow(text: string, file: string): Flow {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new AiotError('AIOT_FILE_MALFORMED', `${file}: expected a Node-RED flow, a list in JSON`, {
      cause,
    });
  }
  // Version 2 of the format wraps the list of nodes in an object.
  const list = Array.isArray(value) ? value : (value as { flows?: unknown } | null)?.flows;
  const parsed = z.array(nodeSchema).safeParse(list);
  if (!parsed.success) {
    throw new AiotError(
      'AIOT_FILE_MALFORMED',
      `${file}: expected a Node-RED flow: ${issueText(parsed.error, 'the file')}`,
    );
  }
  return { nodes: new Map(parsed.data.map((node) => [node.id, node])) };
}

/** The name of a node in messages, such as `mqtt in "sensors" (a1b2c3)`. */
function nodeText({ type, name, id }: FlowNode): string {
  return name ? `${type} "${name}" (${id})` : `${type} (${id})`;
}

/** The text in a field of a node; '' if there is none. */
function field(node: FlowNode | undefined, ...names: string[]): string {
  for (const name of names) {
    const value = node?.[name];
    if (typeof value === 'string' && value !== '') return value;
    if (typeof value === 'number') return String(value);
  }
  return '';
}
