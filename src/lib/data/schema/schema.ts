import {
  AiotError,
  issueText,
  type Project,
  readJson,
  refuseInputs,
  writeJsonAtomic,
} from '../../core/index.js';
import { openRows, projectRows } from '../rows/open.js';
import type { RowsOptions } from '../rows/types.js';
import { checkRows } from './check.js';
import { inferSchema } from './infer.js';
import { type DataSchema, dataSchemaSchema, type SchemaField, type SchemaResult } from './types.js';

export interface SchemaOptions extends RowsOptions {
  /** A CSV file, a folder of recordings or of a project; absent = the project's own. */
  path?: string | undefined;
  project?: Project | undefined;
  /** A schema's file, or `project` for stream.fields. */
  against?: string | undefined;
  save?: string | undefined;
}

/**
 * Infers what rows are like, and holds them against a schema and against the fields of a project.
 * @throws AIOT_FILE_NOT_FOUND, AIOT_FILE_MALFORMED (the schema), AIOT_CSV_*, AIOT_DATA_*, AIOT_FILE_IS_INPUT, AIOT_FILE_NOT_WRITABLE
 */
export async function dataSchema(options: SchemaOptions): Promise<SchemaResult> {
  const { path, project, against, save } = options;
  await refuseInputs([save], [path, against === 'project' ? undefined : against]);
  const wanted = against === undefined || against === 'project' ? null : await readSchema(against);
  const rows = path === undefined ? await projectRows(project!) : await openRows(path, options);
  const schema = inferSchema(rows, project?.config);
  const declared = project ? declaredFields(project) : [];
  const violations = [
    ...(wanted ? checkRows(rows, { fields: wanted.fields, against: against!, whole: true }) : []),
    ...(declared.length > 0
      ? checkRows(rows, { fields: declared, against: 'stream.fields', whole: !wanted })
      : []),
  ];
  if (save !== undefined) await writeJsonAtomic(save, schema);
  return {
    schema,
    against: [...(wanted ? [against!] : []), ...(declared.length > 0 ? ['stream.fields'] : [])],
    violations,
    ok: violations.every(({ severity }) => severity !== 'error'),
    saved: save ?? null,
  };
}

async function readSchema(file: string): Promise<DataSchema> {
  const parsed = dataSchemaSchema.safeParse(await readJson(file));
  if (parsed.success) return parsed.data;
  throw new AiotError('AIOT_FILE_MALFORMED', `${file}: ${issueText(parsed.error, 'the file')}`, {
    next: 'Make it with: aiot data schema DATA --save FILE',
  });
}

/** What aiot.yaml says of its stream: no value may be missing there. */
function declaredFields({ config }: Project): SchemaField[] {
  return Object.entries(config.stream.fields).map(([name, { type, unit, range }]) => ({
    name,
    type,
    unit,
    seen: null,
    range: range ?? null,
    missing: 0,
    categories: null,
  }));
}
