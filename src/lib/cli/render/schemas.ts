import type {
  SchemaChecked,
  SchemaLevel,
  SchemaRegistered,
  SchemaShown,
  SchemaSubjects,
} from '../../api/schemas.js';
import { plural } from '../../core/figures.js';
import { parsedJson } from '../../core/text.js';
import { bold, facts, forTerminal, green, oneLine, red, table, yellow } from './text.js';

export function schemaTable(subjects: SchemaSubjects): string {
  const rows = subjects.map(({ subject, version, versions, id, schemaType }) => [
    subject,
    schemaType,
    String(version),
    String(versions),
    String(id),
  ]);
  return table(['subject', 'format', 'latest', 'versions', 'id'], rows, 'No schemas yet.');
}

export function schemaVersionText(shown: SchemaShown): string {
  const { subject, version, id, schemaType, references, versions, compatibility, mode, schema } = shown;
  const used = references.map((each) => `${each.name} = ${each.subject}:${each.version}`).join(', ');
  const lines: [string, string][] = [
    ['version', `${version} of ${versions.join(', ')}`],
    ['id', String(id)],
    ['format', schemaType],
    ...(used === '' ? [] : [['uses', used] as [string, string]]),
    ['level', compatibility],
    ...(mode === 'READWRITE' ? [] : [['mode', yellow(mode)] as [string, string]]),
  ];
  return `${bold(subject)}\n${facts(lines, '  ')}\n\n${forTerminal(laidOut(shown.schemaType, schema))}`;
}

/** A schema in JSON is often a single line. */
function laidOut(type: SchemaShown['schemaType'], schema: string): string {
  const value = type === 'PROTOBUF' ? undefined : parsedJson(schema);
  return value === undefined ? schema.trimEnd() : JSON.stringify(value, null, 2);
}

export function registeredText({ subject, version, id, new: isNew }: SchemaRegistered): string {
  const named = `version ${version} of ${oneLine(subject)}, with the id ${id}`;
  return isNew ? green(`Registered ${named}.`) : yellow(`Already registered as ${named}.`);
}

export function compatibilityText({ subject, compatible, problems }: SchemaChecked): string {
  if (compatible) return green(`Compatible with ${subject}.`);
  const list = problems.map((problem) => `  ${oneLine(problem)}`);
  return [red(`Incompatible with ${subject}: ${plural(problems.length, 'problem')}.`), ...list].join('\n');
}

export function levelText({ subject, compatibility, inherited }: SchemaLevel): string {
  if (subject === null) return `Level of all subjects without their own: ${bold(compatibility)}.`;
  return `Level of ${oneLine(subject)}: ${bold(compatibility)}${inherited ? ', that of all subjects' : ''}.`;
}
