import { join, resolve } from 'node:path';
import { z } from 'zod';
import { AiotError, loadProject, type Project, plural, readText, unless } from '../core/index.js';
import { motionStreams } from '../loop/index.js';
import { parseCreateFile, type TopicSpec } from '../stream/index.js';
import { compareWith, type FileState, fileStates, writeFiles } from './folder.js';
import { deployTargets, type TargetName } from './targets.js';

export const renderedSchema = z.object({
  target: z.string(),
  /** Absolute folder. */
  dir: z.string(),
  /** Its name; null where there is none. */
  project: z.string().nullable(),
  dryRun: z.boolean(),
  files: z.array(
    z.object({
      path: z.string(),
      about: z.string(),
      bytes: z.int(),
      /**
       * `edited`: it is there and not as it was rendered (under --dry-run alone; otherwise it is refused, or with --yes written over).
       * `left`: an earlier rendering made it, this one does not.
       */
      did: z.enum(fileStates),
    }),
  ),
  next: z.string(),
});
export type Rendered = z.output<typeof renderedSchema>;

export interface RenderOptions {
  target: TargetName;
  out: string;
  /** Folder of a project; absent = the one in the current folder, where there is one. */
  project?: string;
  dryRun?: boolean;
  /** Writes over what somebody has edited. */
  yes?: boolean;
}

/**
 * Renders an installation as files: nothing is run, and nothing outside of the folder is touched. What is in the folder as it was
 * rendered before is changed; what somebody has edited since is not, unless it is said so. All files are written, or none.
 * @throws AIOT_DEPLOY_EDITED, AIOT_PROJECT_NOT_FOUND, AIOT_PROJECT_INVALID, AIOT_STREAM_SPEC_INVALID, AIOT_FILE_NOT_WRITABLE
 */
export async function renderDeployment(options: RenderOptions): Promise<Rendered> {
  const { target: name, dryRun = false, yes = false } = options;
  const dir = resolve(options.out);
  const project = await projectOf(options.project);
  const target = deployTargets[name];
  const files = target.render({ project, streams: await streamsOf(project) });
  const states = await compareWith(dir, name, files);
  const edited = states.filter(({ did }) => did === 'edited').map(({ path }) => path);
  if (edited.length > 0 && !dryRun && !yes) throw refused(dir, edited);
  if (!dryRun) await writeFiles(dir, name, files);
  return {
    target: name,
    dir,
    project: project?.config.name ?? null,
    dryRun,
    files: dryRun ? states : states.map((state) => ({ ...state, did: written(state.did) })),
    next: target.next,
  };
}

const written = (did: FileState): FileState => (did === 'edited' ? 'changed' : did);

async function projectOf(folder: string | undefined): Promise<Project | null> {
  if (folder !== undefined) return loadProject(folder);
  return (await unless('AIOT_PROJECT_NOT_FOUND', loadProject('.'))) ?? null;
}

/** The file that `aiot stream create` reads too. */
const streamsFile = 'streams.yaml';

async function streamsOf(project: Project | null): Promise<readonly TopicSpec[]> {
  const file = project === null ? undefined : join(project.dir, streamsFile);
  const text = file && (await unless('AIOT_FILE_NOT_FOUND', readText(file)));
  // What the motion system has; its better way, a record a sample, is made by the stage that is told so.
  return text ? parseCreateFile(text, file!).topics : [motionStreams.RPI];
}

function refused(dir: string, edited: string[]): AiotError {
  return new AiotError(
    'AIOT_DEPLOY_EDITED',
    `${dir} has ${plural(edited.length, 'file')} that somebody has edited: ${edited.join(', ')}`,
  );
}
