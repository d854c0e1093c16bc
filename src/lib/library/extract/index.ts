import { loadProject } from '../../core/index.js';
import { type Extracted, extractData, type extractSources } from '../../data/index.js';
import { type DataStores, withStores } from '../../registry/index.js';

export type { Extracted } from '../../data/index.js';

/** Of `extract`. */
export interface ExtractOptions {
  /** Folder of a project; default: the current one. */
  project?: string | undefined;
  /** Default `auto`: the platform where it has recordings of the stream, else the project. */
  from?: (typeof extractSources)[number] | undefined;
  /** Folder to make, or the CSV file of a project of rows; it must not be there, or be empty. */
  out: string;
  /** Instead of the project's own data: a folder of recordings, or a table. */
  data?: string | undefined;
  /** Platform; default: the one in use, if any. */
  context?: string | undefined;
  signal?: AbortSignal | undefined;
}

/**
 * Makes a dataset for training: of labelled telemetry, or of the project's own data.
 * @throws AIOT_PROJECT_NOT_FOUND, AIOT_FOLDER_NOT_EMPTY, AIOT_DATA_EMPTY, AIOT_CONTEXT_NOT_FOUND, AIOT_PLATFORM_UNREACHABLE
 */
export async function extract(options: ExtractOptions): Promise<Extracted> {
  const { from = 'auto', context, ...rest } = options;
  const project = await loadProject(options.project ?? '.');
  const take = (stores: DataStores) => extractData({ ...rest, ...stores, from, project });
  return await (from === 'project' ? take({ client: null, guide: null }) : withStores(context, take));
}
