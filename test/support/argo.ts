import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import {
  type ArtifactStore,
  folderStore,
  runWorkflow,
  type StepNews,
  type Template,
} from './workflow-runner.js';

interface Object_ {
  metadata: Record<string, unknown> & { name: string };
  spec: Record<string, unknown>;
}
interface Node {
  id: string;
  name: string;
  displayName: string;
  type: string;
  templateName: string;
  boundaryID: string;
  phase: string;
  message?: string;
  startedAt: string | null;
  finishedAt: string | null;
  children?: string[];
  outputs?: object;
}
interface Workflow extends Object_ {
  status: {
    phase: string;
    message?: string;
    startedAt: string | null;
    finishedAt: string | null;
    nodes: Record<string, Node>;
  };
}

/** A replacement for the next response. */
export type Fault =
  | { status: number; code: number; message: string }
  /** The call takes effect, but its response is lost. */
  | 'no answer';

export interface ArgoServer {
  url: string;
  /** The received calls as `METHOD path`, in order. */
  calls: string[];
  templates: Map<string, Object_>;
  workflows: Map<string, Workflow>;
  /** Applies the fault to the next call whose `METHOD path` contains the text. */
  fail(call: string, fault: Fault): void;
  /** Number of events after which streams of events end silently. */
  cutAfter: number | null;
  /** Delay before each response, ms. */
  slowMs: number;
  delete(workflow: string): void;
  stop(): Promise<void>;
}

export interface ArgoServerOptions {
  /** Folder for pods and artifacts. */
  dir: string;
  token?: string;
  tls?: { cert: string; key: string };
  store?: ArtifactStore;
  /** Content of /context in the pods. */
  context?: string;
  /** Content of /app/bin/run.js. */
  program?: string;
}

/** gRPC codes, with the statuses to which the gateway maps them. */
const errors = {
  malformed: [400, 3],
  unknown: [404, 5],
  there: [409, 6],
  forbidden: [403, 7],
  stranger: [401, 16],
} as const;

/**
 * Starts a server with the subset of Argo's REST API that one pipeline run uses. Submitted workflows really run: each step
 * executes the container's command in its own folder.
 */
export async function startArgo(options: ArgoServerOptions): Promise<ArgoServer> {
  const { dir, token, tls, store = folderStore(join(dir, 'store')), context, program } = options;
  const watchers = new Set<{ name: string; response: ServerResponse; sent: number }>();
  const logs = new Map<string, { podName: string; content: string }[]>();
  const running = new Map<string, AbortController>();
  const faults: { call: string; fault: Fault }[] = [];
  const work: Promise<unknown>[] = [];

  const changed = (type: string, workflow: Workflow) => {
    for (const watcher of [...watchers]) {
      if (watcher.name !== workflow.metadata.name) continue;
      watcher.response.write(`data: ${JSON.stringify({ result: { type, object: workflow } })}\n\n`);
      if (++watcher.sent === own.cutAfter) {
        watchers.delete(watcher);
        watcher.response.end();
      }
    }
  };

  const start = (workflow: Workflow, templates: Template[]) => {
    const { name } = workflow.metadata;
    const stop = new AbortController();
    running.set(name, stop);
    const { nodes } = workflow.status;
    const done = new Set(
      Object.values(nodes).flatMap((node) => (node.phase === 'Succeeded' ? [node.displayName] : [])),
    );
    for (const [id, { phase, type }] of Object.entries(nodes))
      if (phase !== 'Succeeded' || type === 'DAG') delete nodes[id];
    const now = () => new Date().toISOString();
    Object.assign(workflow.status, { phase: 'Running', startedAt: now(), finishedAt: null });
    nodes[name] = nodeOf(name, name, 'DAG', 'pipeline', { phase: 'Running', startedAt: now() });
    const parameters = parametersOf(workflow);
    const run = runWorkflow({
      ...{
        templates,
        done,
        store,
        dir: join(dir, name),
        signal: stop.signal,
        workflow: { name, parameters },
      },
      ...(context === undefined ? {} : { context }),
      ...(program === undefined ? {} : { program }),
      onStep: (step, news) => {
        put(workflow, templates.find((each) => each.name === step)!, news);
        changed('MODIFIED', workflow);
      },
      onLine: (step, attempt, content) => {
        const lines = logs.get(name) ?? [];
        logs.set(name, [
          ...lines,
          { podName: `${name}-${step}-${hashOf(`${name}.${step}(${attempt})`)}`, content },
        ]);
      },
    }).then((codes) => {
      const failed = stop.signal.aborted || [...codes.values()].some((code) => code !== 0);
      const message = stop.signal.aborted ? { message: "Stopped with strategy 'Terminate'" } : {};
      Object.assign(workflow.status, {
        phase: failed ? 'Failed' : 'Succeeded',
        finishedAt: now(),
        ...message,
      });
      changed('MODIFIED', workflow);
    });
    work.push(run);
    changed('MODIFIED', workflow);
  };

  const submit = (namespace: string, body: SubmitBody) => {
    const template = own.templates.get(body.resourceName);
    if (body.resourceKind !== 'WorkflowTemplate' || !template) {
      return error('unknown', `workflowtemplates.argoproj.io "${body.resourceName}" not found`);
    }
    const { name = `${body.resourceName}-x1x2x`, labels = '', parameters = [] } = body.submitOptions ?? {};
    if (own.workflows.has(name)) return error('there', `workflows.argoproj.io "${name}" already exists`);
    const pairs = (list: string[]) =>
      Object.fromEntries(
        list.map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]),
      );
    const given = Object.entries(pairs(parameters)).map(([key, value]) => ({ name: key, value }));
    const workflow: Workflow = {
      metadata: { name, namespace, uid: `uid-of-${name}`, labels: pairs(labels.split(',')) },
      spec: { arguments: { parameters: given }, workflowTemplateRef: { name: body.resourceName } },
      status: { phase: '', startedAt: null, finishedAt: null, nodes: {} },
    };
    own.workflows.set(name, workflow);
    const answer = structuredClone(workflow);
    start(workflow, structuredClone(template.spec.templates) as Template[]);
    return { status: 200, value: answer };
  };

  const answer = (method: string, path: string, body: unknown): { status: number; value: unknown } => {
    const [kind, namespace = '', name = '', verb = ''] = path.split('/').map(decodeURIComponent);
    if (kind === 'workflow-templates') {
      const found = own.templates.get(name || (body as { template: Object_ }).template.metadata.name);
      if (method === 'GET') {
        return found
          ? { status: 200, value: found }
          : error('unknown', `workflowtemplates.argoproj.io "${name}" not found`);
      }
      const { template } = body as { template: Object_ };
      const version = found?.metadata.resourceVersion;
      if (method === 'POST' && found) return error('there', `"${template.metadata.name}" already exists`);
      if (method === 'PUT' && version !== template.metadata.resourceVersion)
        return error('there', 'the object has been modified');
      template.metadata.resourceVersion = String(Number(version ?? 0) + 1);
      own.templates.set(template.metadata.name, template);
      return { status: 200, value: template };
    }
    if (method === 'POST' && name === 'submit') return submit(namespace, body as SubmitBody);
    if (method === 'GET' && name === '')
      return { status: 200, value: { items: [...own.workflows.values()], metadata: {} } };
    const workflow = own.workflows.get(name);
    if (!workflow) return error('unknown', `workflows.argoproj.io "${name}" not found`);
    if (verb === 'terminate') {
      workflow.spec.shutdown = 'Terminate';
      running.get(name)?.abort();
    } else if (verb === 'retry') {
      if (workflow.status.phase !== 'Failed')
        return error('malformed', 'workflow must be Failed/Error to retry');
      delete workflow.spec.shutdown;
      start(
        workflow,
        own.templates.get((workflow.spec.workflowTemplateRef as { name: string }).name)!.spec
          .templates as Template[],
      );
    }
    return { status: 200, value: workflow };
  };

  const serve = async (request: IncomingMessage, response: ServerResponse) => {
    const url = new URL(request.url ?? '/', 'http://argo');
    const path = url.pathname.replace(/^\/api\/v1\//, '');
    const call = `${request.method} ${path}`;
    own.calls.push(call);
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = chunks.length > 0 ? JSON.parse(Buffer.concat(chunks).toString('utf8')) : undefined;
    if (own.slowMs > 0) await new Promise((resolve) => setTimeout(resolve, own.slowMs));
    const send = ({ status, value }: { status: number; value: unknown }) =>
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value));
    if (token !== undefined && request.headers.authorization !== `Bearer ${token}`) {
      return send(
        error('stranger', 'token not valid. see https://argo-workflows.readthedocs.io/en/latest/faq/'),
      );
    }
    const at = faults.findIndex((each) => call.includes(each.call));
    const [{ fault } = { fault: undefined }] = at < 0 ? [] : faults.splice(at, 1);
    if (fault && fault !== 'no answer') {
      return send({ status: fault.status, value: { code: fault.code, message: fault.message } });
    }
    if (path.startsWith('workflow-events/')) {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      const [, name = ''] = (url.searchParams.get('listOptions.fieldSelector') ?? '').split('metadata.name=');
      const watcher = { name, response, sent: 0 };
      watchers.add(watcher);
      response.once('close', () => watchers.delete(watcher));
      const there = own.workflows.get(name);
      if (there) changed('ADDED', there);
      return response.flushHeaders();
    }
    if (path.endsWith('/log')) {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      const lines = logs.get(path.split('/')[2] ?? '') ?? [];
      return response.end(lines.map((result) => `data: ${JSON.stringify({ result })}\n\n`).join(''));
    }
    const answered = answer(request.method ?? 'GET', path, body);
    if (fault === 'no answer') return response.destroy();
    return send(answered);
  };

  const listener = (request: IncomingMessage, response: ServerResponse) => void serve(request, response);
  const server = tls ? createTlsServer(tls, listener) : createServer(listener);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const own: ArgoServer = {
    url: `${tls ? 'https' : 'http'}://127.0.0.1:${(server.address() as AddressInfo).port}`,
    calls: [],
    templates: new Map(),
    workflows: new Map(),
    cutAfter: null,
    slowMs: 0,
    fail: (call, fault) => void faults.push({ call, fault }),
    delete(name) {
      const workflow = own.workflows.get(name);
      own.workflows.delete(name);
      if (workflow) changed('DELETED', workflow);
    },
    async stop() {
      for (const stop of running.values()) stop.abort();
      await Promise.all(work);
      for (const { response } of watchers) response.destroy();
      server.close();
      server.closeAllConnections();
    },
  };
  return own;
}

interface SubmitBody {
  resourceKind: string;
  resourceName: string;
  submitOptions?: { name?: string; labels?: string; parameters?: string[] };
}

function error(kind: keyof typeof errors, message: string): { status: number; value: unknown } {
  const [status, code] = errors[kind];
  return { status, value: { code, message } };
}

function parametersOf({ spec }: Workflow): Record<string, string> {
  const { parameters } = spec.arguments as { parameters: { name: string; value: string }[] };
  return Object.fromEntries(parameters.map(({ name, value }) => [name, value]));
}

function nodeOf(
  workflow: string,
  displayName: string,
  type: string,
  templateName: string,
  more: Partial<Node>,
): Node {
  const name = displayName === workflow ? workflow : `${workflow}.${displayName}`;
  const id = displayName === workflow ? workflow : `${workflow}-${hashOf(name)}`;
  return {
    id,
    name,
    displayName,
    type,
    templateName,
    boundaryID: workflow,
    phase: 'Pending',
    startedAt: null,
    finishedAt: null,
    ...more,
  };
}

/** Stores the controller's record of a step. A step with retries is a node above those of its attempts. */
function put(workflow: Workflow, template: Template, { phase, attempt, exit, parameters }: StepNews): void {
  const { nodes } = workflow.status;
  const { name } = workflow.metadata;
  const now = new Date().toISOString();
  const retried = template.retryStrategy !== undefined;
  const node = (display: string, type: string, more: Partial<Node>) => {
    const made = nodeOf(name, display, type, template.name, more);
    const before = nodes[made.id];
    nodes[made.id] = { ...made, startedAt: before?.startedAt ?? (phase === 'Omitted' ? null : now) };
    return made.id;
  };
  const ended = phase === 'Running' ? {} : { finishedAt: now };
  const outputs = exit === undefined ? {} : { outputs: { exitCode: String(exit ?? 143), parameters } };
  const failed = phase === 'Failed' ? { message: `Error (exit code ${exit ?? 143})` } : {};
  const pod = { phase, ...ended, ...outputs, ...failed };
  if (phase === 'Omitted')
    node(template.name, 'Skipped', { phase, message: 'omitted: depends condition not met' });
  else if (!retried) node(template.name, 'Pod', pod);
  else {
    const last = node(`${template.name}(${attempt})`, 'Pod', pod);
    const { children = [] } =
      Object.values(nodes).find(({ displayName }) => displayName === template.name) ?? {};
    node(template.name, 'Retry', { phase, ...ended, children: [...new Set([...children, last])] });
  }
}

/** 32-bit FNV-1a, as in the names of nodes and pods. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(text)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return hash;
}
