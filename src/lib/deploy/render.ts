import { join, resolve } from 'node:path';
import * as z from 'zod';
import { AiotError, unless } from '../core/errors.js';
import { plural } from '../core/figures.js';
import { readText } from '../core/files.js';
import { loadProject, type Project } from '../core/project.js';
import { motionStreams } from '../loop/har/layout.js';
import type { TopicSpec } from '../stream/broker/admin.js';
import { parseCreateFile } from '../stream/broker/create.js';
import { pipelineFiles } from './argo-template.js';
import { compareWith, type FileState, fileStates, writeFiles } from './folder.js';
import { deployTargets, type TargetName } from './targets.js';
import type { RenderedFile } from './types.js';
import { loadValues, type Values } from './values.js';

export const renderedSchema = z.object({
  target: z.string(),
  /** Absolute path of the folder. */
  dir: z.string(),
  /** Name of the project; null if there is none. */
  project: z.string().nullable(),
  dryRun: z.boolean(),
  files: z.array(
    z.object({
      path: z.string(),
      about: z.string(),
      bytes: z.int(),
      /**
       * State of the file. `edited`: it was edited and differs from its rendering (only with --dry-run; otherwise this is an error, or
       * --force overwrites the file). `left`: an earlier rendering created it, but this one does not.
       */
      did: z.enum(fileStates),
    }),
  ),
  next: z.string(),
});
export type Rendered = z.output<typeof renderedSchema>;

interface RenderOptions {
  target: TargetName;
  out: string;
  /** Project folder; absent = the project in the current folder, if there is one. */
  project?: string;
  dryRun?: boolean;
  /** Whether to overwrite edited files. */
  force?: boolean;
  /** Path of the values file; absent = the project's deploy.yaml. */
  values?: string;
}

/**
 * Renders an installation as files. Nothing is run, and nothing outside the folder is changed. Files that were not edited since an earlier
 * rendering are updated; edited files are overwritten only with `force`. Either all files are written, or none.
 * @throws AIOT_DEPLOY_EDITED, AIOT_DEPLOY_VALUES, AIOT_PROJECT_NOT_FOUND, AIOT_PROJECT_INVALID, AIOT_STREAM_SPEC_INVALID,
 * AIOT_FILE_NOT_WRITABLE
 */
export async function renderDeployment(options: RenderOptions): Promise<Rendered> {
  const { target, out, dryRun = false, force = false } = options;
  const { project, files, next } = await filesOf(options);
  return writeRendering({ target, out, files, next, project: project?.config.name ?? null, dryRun, force });
}

interface Writing {
  target: string;
  out: string;
  files: readonly RenderedFile[];
  next: string;
  /** Name of the project; null if there is none. */
  project: string | null;
  dryRun?: boolean;
  force?: boolean;
}

/** Writes the files of a rendering, completely or not at all. @throws AIOT_DEPLOY_EDITED, AIOT_FILE_NOT_WRITABLE */
export async function writeRendering(options: Writing): Promise<Rendered> {
  const { target, files, project, next, dryRun = false, force = false } = options;
  const dir = resolve(options.out);
  const states = await compareWith(dir, target, files);
  const edited = states.filter(({ did }) => did === 'edited').map(({ path }) => path);
  if (edited.length > 0 && !dryRun && !force) throw refused(dir, edited);
  if (!dryRun) await writeFiles(dir, target, files);
  return {
    ...{ target, dir, project, dryRun },
    files: dryRun ? states : states.map((state) => ({ ...state, did: written(state.did) })),
    next,
  };
}

/**
 * Returns the files that a rendering would write, without writing them. @throws as renderDeployment, except AIOT_DEPLOY_EDITED,
 * AIOT_FILE_NOT_WRITABLE
 */
export async function filesOf({ target: name, project: folder, values: file }: FilesOptions) {
  const project = await projectOf(folder);
  const target = deployTargets[name];
  const values = await loadValues({ file, project, usual: () => target.usual(project) });
  const pipeline = project && values.argo ? await pipelineFiles(project, values) : null;
  const files = await textsOf(project, values);
  const input = { project, streams: await streamsOf(project), values, pipeline, files };
  return { project, files: target.render(input), next: target.next };
}
export type FilesOptions = Pick<RenderOptions, 'target' | 'project' | 'values'>;

/** Texts of the project files that the services read. @throws AIOT_PROJECT_NOT_FOUND, AIOT_FILE_NOT_FOUND */
async function textsOf(project: Project | null, { services }: Values): Promise<Map<string, string>> {
  const paths = new Set(Object.values(services).flatMap(({ files }) => files));
  const texts = new Map<string, string>();
  for (const path of paths) {
    if (project === null)
      throw new AiotError(
        'AIOT_PROJECT_NOT_FOUND',
        `services read ${path} from a project, but this folder has no project`,
      );
    texts.set(path, await readText(join(project.dir, path)));
  }
  return texts;
}

const written = (did: FileState): FileState => (did === 'edited' ? 'changed' : did);

async function projectOf(folder: string | undefined): Promise<Project | null> {
  if (folder !== undefined) return loadProject(folder);
  return (await unless('AIOT_PROJECT_NOT_FOUND', loadProject('.'))) ?? null;
}

/** The project's streams file, which `aiot stream create` also reads. */
const streamsFile = 'streams.yaml';

async function streamsOf(project: Project | null): Promise<readonly TopicSpec[]> {
  const file = project === null ? undefined : join(project.dir, streamsFile);
  const text = file && (await unless('AIOT_FILE_NOT_FOUND', readText(file)));
  // Without a project, the motion system's default stream is rendered. The stream with one record per sample is created by the
  // stage that is configured to use it.
  return text ? parseCreateFile(text, file!).topics : [motionStreams.RPI];
}

function refused(dir: string, edited: string[]): AiotError {
  return new AiotError(
    'AIOT_DEPLOY_EDITED',
    `${dir} has ${plural(edited.length, 'file')} with manual changes: ${edited.join(', ')}`,
  );
}
