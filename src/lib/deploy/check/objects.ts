import { readdir } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import { type Document, isMap, LineCounter, parseAllDocuments } from 'yaml';
import { AiotError } from '../../core/errors.js';
import { readText } from '../../core/files.js';
import { deepestYaml, tooDeepYaml } from '../../core/yaml.js';

/** Any value in a document. */
export type Data = Record<string, unknown>;

/** One document in a file, such as a Kubernetes object, a compose.yaml or a user-data file. */
export interface DeployObject {
  /** Path within the folder, with `/` as the separator. */
  file: string;
  /** Name of the object, as `KIND NAME`, or the kind of file. */
  name: string;
  kind: string;
  apiVersion: string;
  data: Data;
  /** Returns the line, from 1, of a path's deepest element that exists. */
  lineOf: (path: readonly PropertyKey[]) => number;
}

export interface Finding {
  /** Severity. `error`: the deployment will not work, or a secret is exposed. `warning`: a review is needed. */
  level: 'error' | 'warning';
  rule: string;
  file: string;
  line: number;
  /** The object that has the problem. */
  object: string;
  message: string;
}

/** Contents of a folder, which is read once. */
export interface DeployFolder {
  dir: string;
  objects: DeployObject[];
  /** Texts of all files, by their paths within the folder. */
  texts: ReadonlyMap<string, string>;
  /** Files that could not be parsed as YAML. */
  broken: Finding[];
}

const mostFiles = 5000;

/** Reads all files that a rendering may have created. @throws AIOT_DEPLOY_NOTHING, AIOT_FILE_NOT_FOUND */
export async function readDeployFolder(folder: string): Promise<DeployFolder> {
  const dir = resolve(folder);
  const paths = await pathsIn(dir);
  const texts = new Map<string, string>();
  const objects: DeployObject[] = [];
  const broken: Finding[] = [];
  for (const path of paths) {
    const text = await readText(join(dir, path));
    texts.set(path, text);
    // Files in project/ may contain any YAML, so they are read only as text.
    if (!/(\.ya?ml|(^|\/)user-data)$/.test(path) || /(^|\/)project\//.test(path)) continue;
    const read = objectsIn(path, text);
    objects.push(...read.objects);
    broken.push(...read.broken);
  }
  if (texts.size === 0) throw new AiotError('AIOT_DEPLOY_NOTHING', `${dir} contains no files`);
  return { dir, objects, texts, broken };
}

async function pathsIn(dir: string): Promise<string[]> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true }).catch(
    (error: NodeJS.ErrnoException) => {
      throw new AiotError('AIOT_FILE_NOT_FOUND', `${dir}: the folder does not exist`, { cause: error });
    },
  );
  return (
    entries
      .filter((entry) => entry.isFile() && /(\.(ya?ml|sh|conf|acl|service)|^user-data)$/.test(entry.name))
      .map((entry) => relative(dir, join(entry.parentPath ?? entry.path, entry.name)).replaceAll('\\', '/'))
      // These files are generated on the target, and are not checked.
      .filter(
        (path) =>
          !/(^|\/)(node_modules|\.git|certs)\//.test(path) && !/(^|\/)secrets\/[^/]+\.(env|conf)$/.test(path),
      )
      .sort()
      .slice(0, mostFiles)
  );
}

function objectsIn(file: string, text: string): { objects: DeployObject[]; broken: Finding[] } {
  const line = tooDeepYaml(text);
  if (line !== null) {
    const message = `nested deeper than ${deepestYaml} levels`;
    return { objects: [], broken: [{ level: 'error', rule: 'yaml', file, line, object: file, message }] };
  }
  const lines = new LineCounter();
  const parsed = parseAllDocuments(text, {
    lineCounter: lines,
    merge: true,
    uniqueKeys: true,
    logLevel: 'error',
  });
  const documents: Document[] = Array.isArray(parsed) ? parsed : [];
  const objects: DeployObject[] = [];
  const broken: Finding[] = [];
  for (const document of documents) {
    const [error] = document.errors;
    if (error) {
      const message = error.message.split('\n')[0] ?? error.message;
      broken.push({
        level: 'error',
        rule: 'yaml',
        file,
        line: lines.linePos(error.pos[0]).line,
        object: file,
        message,
      });
      continue;
    }
    const data = document.toJS() as unknown;
    if (data === null || typeof data !== 'object' || Array.isArray(data)) continue;
    const { kind = '', apiVersion = '', metadata } = data as Data & { kind?: string; apiVersion?: string };
    const called = (metadata as Data | undefined)?.name;
    objects.push({
      file,
      kind: String(kind),
      apiVersion: String(apiVersion),
      name: kind === '' ? file : `${kind} ${called ?? file}`,
      data: data as Data,
      lineOf: (path) => lines.linePos(offsetOf(document, path)).line,
    });
  }
  return { objects, broken };
}

function offsetOf(document: Document, path: readonly PropertyKey[]): number {
  const top = (document.contents as { range?: [number, number, number] } | null)?.range?.[0] ?? 0;
  for (let depth = path.length; depth > 0; depth--) {
    const parent = document.getIn(path.slice(0, depth - 1), true);
    const key = path[depth - 1];
    const pair = isMap(parent) ? parent.items.find((item) => String(item.key) === String(key)) : undefined;
    const range =
      (pair?.key as { range?: [number, number, number] } | undefined)?.range ??
      (document.getIn(path.slice(0, depth), true) as { range?: [number, number, number] } | undefined)?.range;
    if (range) return range[0];
  }
  return top;
}

/** The value at a path; undefined if there is none. */
export function at(data: unknown, ...path: PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (value, key) =>
      value !== null && typeof value === 'object' ? (value as Record<PropertyKey, unknown>)[key] : undefined,
    data,
  );
}

export const listAt = (data: unknown, ...path: PropertyKey[]): Data[] => {
  const value = at(data, ...path);
  return Array.isArray(value) ? value.filter((item) => item !== null && typeof item === 'object') : [];
};

export const textAt = (data: unknown, ...path: PropertyKey[]): string | undefined => {
  const value = at(data, ...path);
  return typeof value === 'string' ? value : undefined;
};

/** Yields each value in the data with its path. */
export function* walk(
  data: unknown,
  path: PropertyKey[] = [],
): Generator<{ path: PropertyKey[]; value: unknown }> {
  yield { path, value: data };
  if (data === null || typeof data !== 'object') return;
  const entries: [PropertyKey, unknown][] = Array.isArray(data)
    ? data.map((item, index) => [index, item])
    : Object.entries(data);
  for (const [key, value] of entries) yield* walk(value, [...path, key]);
}

/** A finding about one element of an object. */
export function finding(
  object: DeployObject,
  path: readonly PropertyKey[],
  rule: string,
  message: string,
  level: Finding['level'] = 'error',
): Finding {
  return { level, rule, file: object.file, line: object.lineOf(path), object: object.name, message };
}

const inTemplate = new Set(['Deployment', 'StatefulSet', 'DaemonSet', 'ReplicaSet', 'Job']);

interface PodSpec {
  object: DeployObject;
  path: PropertyKey[];
  spec: Data;
  /** Whether the pod runs continuously, and therefore needs probes. */
  serves: boolean;
}

/** The pod specifications in Kubernetes objects. */
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
  /** Path of the container within the object. */
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
