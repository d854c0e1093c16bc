import { join } from 'node:path';

/** Where a project's pipeline keeps what it has: all of it can be made again but the platform and the history. */
export function pipelineFolders(dir: string) {
  const root = join(dir, '.aiot', 'pipeline');
  return {
    root,
    /** Held by the process that runs the pipeline, and by no dead one. */
    lock: join(root, 'lock'),
    /** A file a run. */
    runs: join(root, 'runs'),
    /** RUN/STEP.log. */
    logs: join(root, 'logs'),
    /** RUN/STEP: where a step runs. */
    work: join(root, 'work'),
    /** Contents by their digest. */
    blobs: join(root, 'store', 'blobs'),
    /** What a step left, by its key. */
    entries: join(root, 'store', 'steps'),
    /** What later runs find of earlier ones. */
    kept: join(root, 'kept.json'),
    /** The project's own platform, where no context is in use. */
    platform: join(root, 'platform'),
    /** Contexts and keys for it. */
    config: join(root, 'config'),
  };
}

export type PipelineFolders = ReturnType<typeof pipelineFolders>;
