import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { root } from './cli.js';

export interface Artifact {
  name: string;
  path: string;
  raw?: { data: string };
  s3?: { key: string };
  from?: string;
  optional?: boolean;
}
interface Parameter {
  name: string;
  value?: string;
  valueFrom?: { path: string; default: string };
}
export interface Template {
  name: string;
  retryStrategy?: { limit: string };
  inputs?: { artifacts?: Artifact[] };
  outputs?: { artifacts?: Artifact[]; parameters?: Parameter[] };
  container?: { command: string[]; args: string[]; env?: { name: string; value: string }[] };
  dag?: { tasks: { name: string; depends?: string; arguments?: { artifacts?: Artifact[] } }[] };
}

/** Stores artifacts between steps by key. A folder is stored and restored as one artifact. */
export interface ArtifactStore {
  put(path: string, key: string): Promise<void>;
  /** Returns false if nothing is stored under the key. */
  get(key: string, path: string): Promise<boolean>;
}

export function folderStore(folder: string): ArtifactStore {
  return {
    put: (path, key) => cp(path, join(folder, key), { recursive: true }),
    async get(key, path) {
      if (!existsSync(join(folder, key))) return false;
      await cp(join(folder, key), path, { recursive: true });
      return true;
    },
  };
}

/** Progress of a step, as written to the workflow by the controller. */
export interface StepNews {
  phase: 'Running' | 'Succeeded' | 'Failed' | 'Omitted';
  attempt: number;
  exit?: number | null;
  parameters?: Parameter[];
}

export interface RunnerOptions {
  templates: Template[];
  /** Folder for the pods. */
  dir: string;
  store: ArtifactStore;
  /** Values for {{workflow.…}}. */
  workflow?: { name: string; parameters: Record<string, string> };
  /** Folder that is mounted at /context. */
  context?: string;
  /** Content of /app/bin/run.js; by default, the sources are run. */
  program?: string;
  /** Steps of a retried workflow that are already finished. */
  done?: ReadonlySet<string>;
  signal?: AbortSignal;
  onStep?(step: string, news: StepNews): void;
  onLine?(step: string, attempt: number, line: string): void;
}

/**
 * Runs the templates in order like an executor: restores input artifacts, runs the container's command, and stores
 * output artifacts. /pipeline is a folder here.
 */
export async function runWorkflow(options: RunnerOptions): Promise<Map<string, number | null>> {
  const { templates, done = new Set(), signal, onStep = () => {} } = options;
  const codes = new Map<string, number | null>();
  for (const task of templates.find(({ dag }) => dag)?.dag?.tasks ?? []) {
    if (done.has(task.name)) {
      codes.set(task.name, 0);
      continue;
    }
    if (signal?.aborted) break;
    if (task.depends?.split(' && ').some((need) => codes.get(need) !== 0)) {
      onStep(task.name, { phase: 'Omitted', attempt: 0 });
      continue;
    }
    const template = templates.find(({ name }) => name === task.name)!;
    const limit = Number(template.retryStrategy?.limit ?? 0);
    for (let attempt = 0; ; attempt++) {
      onStep(task.name, { phase: 'Running', attempt });
      const { code, parameters } = await runPod(template, task.arguments?.artifacts ?? [], attempt, options);
      codes.set(task.name, code);
      const final = code === 0 || code === 2 || code === 6 || attempt === limit || signal?.aborted;
      if (!final) continue;
      onStep(task.name, { phase: code === 0 ? 'Succeeded' : 'Failed', attempt, exit: code, parameters });
      break;
    }
  }
  return codes;
}

async function runPod(template: Template, given: Artifact[], attempt: number, options: RunnerOptions) {
  const { dir, store, context = join(dir, 'context'), program = join(root, 'bin', 'dev.js') } = options;
  const pod = join(dir, 'pods', template.name);
  const work = join(pod, 'work');
  await rm(pod, { recursive: true, force: true });
  await mkdir(join(pod, 'tmp'), { recursive: true });
  const mounts = { pipeline: work, step: join(pod, 'step'), tmp: join(pod, 'tmp'), context };
  const here = (path: string) =>
    path.replace(/^\/(pipeline|step|tmp|context)(?=\/|$)/, (_, name: keyof typeof mounts) => mounts[name]);
  await mkdir(work, { recursive: true });
  for (const input of template.inputs?.artifacts ?? []) {
    await mkdir(dirname(here(input.path)), { recursive: true });
    const from = given.find(({ name }) => name === input.name)?.from;
    const [, step, output] = /tasks\.([\w-]+)\.outputs\.artifacts\.([\w-]+)/.exec(from ?? '') ?? [];
    const key = step === undefined ? input.s3?.key : keyOf(options, step, output ?? '');
    if (input.raw) {
      const text = input.raw.data.replaceAll("'/pipeline", `'${work}`).replaceAll('`/pipeline', `\`${work}`);
      await writeFile(here(input.path), text.replaceAll('/app/bin/run.js', program));
    } else if (key === undefined || !(await store.get(key, here(input.path)))) {
      if (!input.optional) throw new Error(`${template.name}: ${input.name} is missing`);
    }
  }
  const code = await runContainer(template, work, here, attempt, options);
  for (const { name, path, s3 } of template.outputs?.artifacts ?? []) {
    if (existsSync(here(path))) await store.put(here(path), s3?.key ?? keyOf(options, template.name, name));
  }
  const parameters: Parameter[] = [];
  for (const { name, valueFrom } of template.outputs?.parameters ?? []) {
    const there = valueFrom !== undefined && existsSync(here(valueFrom.path));
    const value = there ? await readFile(here(valueFrom.path), 'utf8') : valueFrom?.default;
    parameters.push(value === undefined ? { name } : { name, value });
  }
  return { code, parameters };
}

const keyOf = ({ workflow }: RunnerOptions, step: string, output: string) =>
  `${workflow ? `${workflow.name}/` : ''}${step}/${output}`;

async function runContainer(
  { name, container }: Template,
  work: string,
  here: (path: string) => string,
  attempt: number,
  { workflow = { name: 'own', parameters: {} }, signal, onLine }: RunnerOptions,
): Promise<number | null> {
  const filled = (text: string) =>
    text
      .replaceAll('{{workflow.name}}', workflow.name)
      .replaceAll(
        /\{\{workflow\.parameters\.(\w+)\}\}/g,
        (_, parameter: string) => workflow.parameters[parameter] ?? '',
      );
  const own = (container?.env ?? []).map(({ name: key, value }) => [key, here(filled(value))]);
  const env = { PATH: process.env.PATH ?? '', NO_COLOR: '1', ...Object.fromEntries(own) };
  const [, ...words] = [...(container?.command ?? []), ...(container?.args ?? [])];
  const child = spawn(process.execPath, words.map(here), {
    cwd: work,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const end = () => void child.kill('SIGTERM');
  signal?.addEventListener('abort', end, { once: true });
  if (signal?.aborted) end();
  for (const stream of [child.stdout, child.stderr]) {
    let rest = '';
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      const lines = `${rest}${chunk}`.split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) onLine?.(name, attempt, line);
    });
  }
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  signal?.removeEventListener('abort', end);
  return code;
}
